"""Which commands work over HTTP, and what the guide says about it."""

import re

from activityctl.cli.main import COMMANDS
from activityctl.cli.reach import REACHES
from support.guide import GUIDE

WORDS = {"yes": "http", "they need no server": "files"}


def test_every_command_says_how_far_it_reaches():
    assert set(REACHES) == set(COMMANDS)


def test_the_guide_says_which_commands_work_over_http():
    page = (GUIDE / "remote-commands.md").read_text("utf-8")
    told = {
        name: WORDS[reach]
        for names, reach in re.findall(r"^\| (`.+`) \| (.+) \|$", page, re.MULTILINE)
        if reach in WORDS
        for name in re.findall(r"`(.+?)`", names)
    }
    assert told == {name: reach for name, reach in REACHES.items() if reach != "database"}
