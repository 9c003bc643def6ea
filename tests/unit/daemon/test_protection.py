"""What commands of the same account can see of a daemon process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from activityctl.daemon.protection import secret_variables
from activityctl.secret import Secret, SecretReference
from activityctl.settings import Settings

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
OTHERS = """
import ctypes, os, pwd
from activityctl.daemon.protection import protect_memory

def readable(name):
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            open(f"/proc/{parent}/{name}", "rb").close()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

if os.geteuid() == 0:
    account = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec
print([readable(name) for name in ("environ", "mem", "maps")])
protect_memory()
print([readable(name) for name in ("environ", "mem", "maps")])
"""
FORGOTTEN = """
import os
from activityctl.daemon.protection import forget_variables
before = open("/proc/self/environ", "rb").read()
forget_variables(["ACTIVITYCTL_DATABASE_URL", "MINE", "ABSENT"])
after = open("/proc/self/environ", "rb").read()
print(before.count(b"s3cret"), after.count(b"s3cret"), b"KEPT=kept" in after)
left = os.system('test -z "$MINE$ACTIVITYCTL_DATABASE_URL"')
print("MINE" in os.environ, os.environ["KEPT"], left)
"""


def run(script: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@LINUX_ONLY
def test_other_processes_of_the_account_cannot_read_environment_and_memory():
    assert run(OTHERS) == ["[True, True, True]", "[False, False, False]"]


@LINUX_ONLY
def test_forgotten_variables_are_not_shown_and_not_inherited():
    url = "postgresql://app:s3cret@db/x"
    seen = run(FORGOTTEN, ACTIVITYCTL_DATABASE_URL=url, MINE="s3cret", KEPT="kept")
    assert seen == ["2 0 True", "True kept 0"]


def test_the_variables_that_the_settings_refer_to_are_secret():
    reference = SecretReference("database_password_ref", "env", "PGPW", found=Secret("x"))
    stored = SecretReference("temporal_api_key_ref", "file", "/run/key")
    settings = Settings(home=Path("/h"), database_password_ref=reference)
    named = secret_variables(replace(settings, temporal_api_key_ref=stored))
    assert named == ["ACTIVITYCTL_DATABASE_URL", "TEMPORAL_API_KEY", "PGPW"]
