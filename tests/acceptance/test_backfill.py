"""`backfill` runs due times of the past once each, in order, also if processes are killed."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.prepared_home import prepare
from support.waiting import until

MANIFESTS = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: {name}}}
spec:
  triggers:
    - name: daily
      cron: {{schedule: "0 8 * * *", exclude: {{dates: [2024-03-05]}}}}
  tasks:
    - name: note
      command:
        argv: ["sh", "-c", "{shell}"]
        env: {{DAY: "${{ trigger.dueAt.substring(8, 10) }}"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: {name}}}
spec: {{activity: {name}}}
"""
TEN_DAYS = ("--since", "2024-03-01T08:00:00Z", "--until", "2024-03-10T08:00:00Z")
DUE = [f"2024-03-{day:02}T08:00:00.000Z" for day in range(1, 11) if day != 5]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Sub:
    """A subscription for one test, due daily at 08:00 except on one day."""

    shell: Any
    name: str

    def backfill(self, *arguments: str, code: int = 0) -> Any:
        return self.shell("backfill", self.name, *arguments, code=code)

    def runs(self) -> list[Any]:
        found: list[Any] = self.shell.json("get", "runs", "-s", self.name)["items"]
        return sorted(found, key=lambda run: run["dueAt"])

    def past_runs(self) -> list[Any]:
        return [run for run in self.runs() if run["dueAt"] in DUE]


@pytest.fixture
def make(shell: Any, tmp_path: Path) -> Callable[..., Sub]:
    def apply(name: str, shell_text: str = "true") -> Sub:
        path = tmp_path / f"{name}.yaml"
        path.write_text(MANIFESTS.format(name=name, shell=shell_text))
        shell("apply", "-f", str(path))
        return Sub(shell, name)

    return apply


def work_until(path: Path) -> str:
    """Return the shell command of a run: wait until the file exists."""
    return f"until test -e {path}; do sleep 0.1; done"


def most_parallel(runs: list[Any]) -> int:
    """Return the largest number of runs that were running at the same time."""
    spans = [(run["startedAt"], run["endedAt"]) for run in runs]
    return max(sum(begin <= start < end for begin, end in spans) for start, _ in spans)


def test_each_past_time_runs_once_even_if_the_command_is_repeated(make: Callable[..., Sub]):
    sub = make("backfill-once", "sleep 0.3")
    dry = sub.shell.json("backfill", sub.name, *TEN_DAYS, "--dry-run")
    assert dry["firings"] == DUE
    assert dry["leftAlone"] == [
        {"dueAt": "2024-03-05T08:00:00.000Z", "reason": "skipped: excluded: 2024-03-05"}
    ]
    assert sub.past_runs() == []
    done = sub.backfill(*TEN_DAYS, "--max-parallel", "3")
    assert f"backfill {sub.name}/daily: 9 firings, 9 new, 9 succeeded" in done.stdout
    runs = sub.past_runs()
    assert [run["dueAt"] for run in runs] == DUE
    assert runs[0]["firingKey"] == "backfill-2024-03-01T08:00:00Z"
    assert {run["trigger"] for run in runs} == {"daily"}
    assert most_parallel(runs) <= 3
    again = sub.shell.json("backfill", sub.name, *TEN_DAYS)
    assert (again["added"], again["progress"]["succeeded"]) == (0, 9)
    wider = sub.backfill("--since", "2024-02-29", "--until", "2024-03-10T08:00:00Z")
    assert "1 firing, 1 new, 1 succeeded" in wider.stdout
    assert sub.past_runs() == runs


def test_more_than_a_hundred_firings_need_confirmation_and_early_times_a_note(
    make: Callable[..., Sub],
):
    sub = make("backfill-many", "true")
    most = ("--since", "2024-03-01T08:00:00Z", "--until", "2024-06-30T08:00:00Z")
    refused = sub.backfill(*most, code=1)
    assert "needs confirmation" in refused.stderr
    assert "--yes" in refused.stderr
    assert "121 of 121 firings are due before the subscription existed" in refused.stderr
    assert sub.past_runs() == []
    assert "121 new" in sub.backfill(*most, "--yes", "--no-wait").stdout
    sub.backfill("--cancel")


def test_without_max_parallel_the_runs_keep_their_order(make: Callable[..., Sub]):
    sub = make("backfill-order")
    sub.backfill(*TEN_DAYS)
    runs = sub.past_runs()
    assert most_parallel(runs) == 1
    assert sorted(runs, key=lambda run: run["startedAt"]) == runs


def test_a_failed_run_is_reported_and_not_repeated(make: Callable[..., Sub]):
    sub = make("backfill-fails", "test $DAY != 03")
    done = sub.backfill(*TEN_DAYS, "--max-parallel", "9", code=1)
    assert "8 succeeded, 1 failed" in done.stdout
    assert f"get runs -s {sub.name} --status failed" in done.stderr
    again = sub.backfill(*TEN_DAYS, code=1)
    assert "0 new, 8 succeeded, 1 failed" in again.stdout
    assert "1 left out: has a run: failed" in again.stderr


def test_a_backfill_of_a_paused_subscription_runs(make: Callable[..., Sub]):
    sub = make("backfill-paused")
    sub.shell("pause", sub.name)
    done = sub.backfill(*TEN_DAYS, "--max-parallel", "9")
    assert "9 succeeded" in done.stdout


def test_only_missed_leaves_out_times_without_a_missed_run(make: Callable[..., Sub]):
    sub = make("backfill-missed")
    done = sub.backfill(*TEN_DAYS, "--only-missed")
    assert "0 firings, 0 new" in done.stdout
    assert "10 left out: was not missed" in done.stderr


def test_a_cancelled_backfill_stops_and_continues_when_repeated(
    make: Callable[..., Sub], tmp_path: Path
):
    sub = make("backfill-cancelled", work_until(tmp_path / "go"))
    sub.backfill(*TEN_DAYS, "--no-wait")
    until(sub.past_runs)
    done = sub.backfill("--cancel")
    held = int(done.stdout.split()[1])
    assert 5 <= held <= 8
    (tmp_path / "go").touch()
    until(lambda: len([run for run in sub.past_runs() if run["endedAt"]]) == 9 - held)
    time.sleep(1.5)
    assert len(sub.past_runs()) == 9 - held
    again = sub.backfill(*TEN_DAYS, "--max-parallel", "9")
    assert "0 new, 9 succeeded" in again.stdout


def test_ctrl_c_leaves_the_backfill_to_the_worker(make: Callable[..., Sub], tmp_path: Path):
    sub = make("backfill-left", work_until(tmp_path / "go"))
    command = sub.shell.start("backfill", sub.name, *TEN_DAYS, "--max-parallel", "2")
    until(sub.past_runs)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=60)
    assert command.returncode == 130
    assert f"activityctl backfill {sub.name} --cancel" in errors
    (tmp_path / "go").touch()
    until(lambda: sum(run["status"] == "succeeded" for run in sub.past_runs()) == 9)


def test_a_timeout_is_exit_8_and_the_runs_continue(make: Callable[..., Sub]):
    sub = make("backfill-timeout", "sleep 0.5")
    done = sub.backfill(*TEN_DAYS, "--timeout", "300ms", code=8)
    assert "repeat the command to follow" in done.stderr
    assert "9 succeeded" in sub.backfill(*TEN_DAYS, "--max-parallel", "9").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "--since is missing"),
        (("--since", "+1h"), 2, "future"),
        (("--since", "soon"), 2, "2026-12-31T18:00:00Z"),
        (("--since", "1h", "--until", "2h"), 2, "before"),
        (("--from", "1h"), 2, "future"),
        (("--from", "-1h", "--to", "-2h"), 2, "before"),
        ((*TEN_DAYS, "--trigger", "weekly"), 4, "daily"),
        ((*TEN_DAYS, "--max-parallel", "0"), 2, "max-parallel"),
    ],
)
def test_an_error_says_why(
    make: Callable[..., Sub], arguments: tuple[str, ...], code: int, message: str
):
    done = make("backfill-refused").backfill(*arguments, code=code)
    assert message in done.stderr


def test_the_old_options_keep_their_meaning_with_a_warning(make: Callable[..., Sub]):
    sub = make("backfill-old-options")
    new = sub.shell.json("backfill", sub.name, *TEN_DAYS, "--dry-run")
    old_range = ("--from", TEN_DAYS[1], "--to", TEN_DAYS[3])
    done = sub.backfill(*old_range, "--dry-run", "-o", "json")
    assert json.loads(done.stdout) == new
    assert (new["from"], new["to"]) == ("2024-03-01T08:00:00.000Z", "2024-03-10T08:00:00.000Z")
    assert f"warning: --from is now --since; write --since {TEN_DAYS[1]}\n" in done.stderr
    assert f"warning: --to is now --until; write --until {TEN_DAYS[3]}\n" in done.stderr
    done = sub.backfill("--from", "-3d", "--to", "-1d", "--dry-run")
    assert "write --since 3d\n" in done.stderr
    assert "write --until 1d\n" in done.stderr
    assert "2 firings would run" in done.stderr
    page = sub.shell("backfill", "--help").stdout
    assert "--from" not in page
    assert "--to " not in page


@pytest.fixture
def own(shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon of this test, whose worker may be killed."""
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("work"))
    shell("up", "-d")
    yield shell
    shell("down")


def test_each_time_runs_once_even_if_the_worker_and_the_command_are_killed(own: Any):
    path = own.folder / "own.yaml"
    path.write_text(MANIFESTS.format(name="own", shell="sleep 0.4"))
    own("apply", "-f", str(path))
    sub = Sub(own, "own")
    command = own.start("backfill", "own", *TEN_DAYS, "--max-parallel", "2")
    until(sub.past_runs)
    worker = next(part for part in own.json("status")["components"] if part["name"] == "worker")
    psutil.Process(worker["pid"]).kill()
    command.kill()
    command.communicate(timeout=60)
    done = sub.backfill(*TEN_DAYS, "--max-parallel", "2", "--timeout", "80s")
    assert "9 firings, 0 new, 9 succeeded" in done.stdout
    runs = sub.past_runs()
    assert [run["dueAt"] for run in runs] == DUE
    assert most_parallel(runs) <= 2
