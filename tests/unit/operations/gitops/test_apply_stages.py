"""What one who presses Ctrl-C during an apply can be told: when the change may be recorded."""

import pytest

from activityctl.errors import InvalidManifestsError
from activityctl.operations.gitops.apply import apply
from support.applying import NOW, World, definition, world
from support.manifests import Manifest, manifest_set, subscription


async def stages(here: World, told: list[str], *manifests: Manifest) -> None:
    """Apply, and put down in their order what it tells."""
    ports = here.ports
    await apply(
        manifest_set(*manifests),
        ports.catalog,
        ports.register,
        ports.workers,
        lambda: NOW,
        timeout_seconds=0,
        on_write=lambda: told.append("begins"),
        on_pending=lambda _: told.append("is recorded"),
    )


async def test_the_change_is_told_before_it_may_be_recorded_and_after():
    told: list[str] = []
    await stages(world(), told, definition(), subscription())
    assert told == ["begins", "is recorded"]


async def test_what_is_refused_never_begins():
    told: list[str] = []
    with pytest.raises(InvalidManifestsError):
        await stages(world(), told, subscription())
    assert told == []
