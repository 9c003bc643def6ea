"""A folder of manifests on the shared daemon, applied or not."""

import itertools
from typing import Any

import pytest

from support.gitops import Repository

_NUMBERS = itertools.count()


@pytest.fixture
def repository(shell: Any) -> Repository:
    found = Repository(shell, f"g{next(_NUMBERS)}x")
    found.define()
    found.subscribe()
    return found


@pytest.fixture
def applied(repository: Repository) -> Repository:
    repository("apply", "-f", "definitions")
    return repository
