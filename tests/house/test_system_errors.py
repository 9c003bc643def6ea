"""Errors of the operating system are told in one way: errors.reason_of, after a colon."""

import errno
import os
from pathlib import Path

from activityctl.errors import reason_of

PACKAGE = Path(__file__).parents[2] / "activityctl"
ALLOWED = {"errors.py": "reason_of itself", "executors/process.py": "makes an error of a number"}


def test_only_one_function_puts_the_words_of_the_system_into_messages():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "strerror" in path.read_text("utf-8")
    }
    assert found == set(ALLOWED)


def test_each_reason_is_told_without_its_number_and_its_file():
    for number in errno.errorcode:
        reason = reason_of(OSError(number, os.strerror(number), "/a/File"))
        assert reason == reason.lower()
        assert "errno" not in reason
        assert "/a/" not in reason
    assert reason_of(FileNotFoundError(errno.ENOENT, "No such file")) == (
        "there is no such file or folder"
    )
