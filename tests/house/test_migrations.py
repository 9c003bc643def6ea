"""The migrations are one chain: two that were landed with one number would stop every start."""

import re
from pathlib import Path

from activityctl.adapters.postgres.schema import migrations

VERSIONS = Path(migrations.__path__[0]) / "versions"


def test_each_migration_follows_the_one_with_the_number_before():
    numbers = []
    for path in sorted(VERSIONS.glob("[0-9]*.py")):
        text = path.read_text("utf-8")
        (number,) = re.findall('^revision = "([0-9]{4})"$', text, re.MULTILINE)
        assert path.name.startswith(f"{number}_")
        before = re.findall('^down_revision = "([0-9]{4})"$', text, re.MULTILINE)
        assert before == numbers[-1:], path.name
        numbers.append(number)
    assert len(set(numbers)) == len(numbers) > 30
