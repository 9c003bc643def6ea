"""A daemon that takes long to start may do so as long as it makes progress."""

import os
import signal
from pathlib import Path

import pytest

from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.state import read_state
from activityctl.errors import WaitTimeoutError

SLOW_START = """
state() {
  printf '{"supervisor": {"pid": %s, "create_time": 1}, "steps": [%s], "addresses": {%s},
    "components": [{"name": "worker", "state": "running"}]}' $$ "$1" "$2" > new
  mv new daemon.json
}
done=''
for step in 1 2 3 4 5 6; do
  state "$done{\\"doing\\": \\"step $step\\", \\"began\\": $step}" ''
  sleep 0.5
  done="$done{\\"doing\\": \\"step $step\\", \\"began\\": $step, \\"ended\\": 9},"
done
sleep "$1"
state "${done%,}" '"database_url": "postgresql://x"'
sleep 30
"""


@pytest.mark.parametrize("silence", [0, 20])
def test_a_slow_start_may_take_its_time_as_long_as_it_makes_progress(tmp_path: Path, silence: int):
    command = ["/bin/sh", "-c", SLOW_START, "sh", str(silence)]
    try:
        if silence:
            reason = r"not ready and made no progress for 2 s \(step 6\)"
            with pytest.raises(WaitTimeoutError, match=reason):
                start_detached(tmp_path, command, os.environ, timeout=2)
        else:
            assert start_detached(tmp_path, command, os.environ, timeout=2).ready  # after 3 s
    finally:
        os.kill(read_state(tmp_path).supervisor.pid, signal.SIGKILL)
