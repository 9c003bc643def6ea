"""Which ports and variables the processes of a daemon get."""

import socket
from pathlib import Path

from activityctl.daemon.local.supervised_process import child_environment, choose_ports


def test_free_wanted_ports_are_kept_and_all_ports_are_different():
    free = choose_ports({"a": None, "b": None}, {})
    assert choose_ports(free, free) == free
    assert len(set(choose_ports(dict.fromkeys("abcdef"), {}).values())) == 6
    with socket.create_server(("127.0.0.1", free["a"])):
        again = choose_ports(free, free)
    assert again["a"] != free["a"]
    assert again["b"] == free["b"]


def test_children_get_the_users_variables_without_those_of_other_servers(tmp_path: Path):
    users = {
        "PATH": "/bin",
        "ACTIVITYCTL_ALLOW_COMMANDS": "false",
        "ACTIVITYCTL_DATABASE_URL": "postgresql://elsewhere",
        "ACTIVITYCTL_PROFILE": "production",
        "TEMPORAL_ADDRESS": "elsewhere:7233",
        "TEMPORAL_API_KEY": "secret",
    }
    assert child_environment(tmp_path, users) == {
        "PATH": "/bin",
        "ACTIVITYCTL_HOME": str(tmp_path),
        "ACTIVITYCTL_ALLOW_COMMANDS": "false",
        "ACTIVITYCTL_ALLOW_HTTP": "true",
        "ACTIVITYCTL_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
    }
