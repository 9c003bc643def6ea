"""The target of a command: no command that acts on servers leaves it unsaid."""

from activityctl.cli.main import COMMANDS
from activityctl.cli.target import CHANGING


def test_every_command_that_acts_names_its_target():
    acting = {name for name, (_, panel, _) in COMMANDS.items() if panel == "Acting"}
    assert acting <= CHANGING
    assert COMMANDS.keys() >= CHANGING
