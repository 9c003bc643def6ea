"""Calendars: apply, show, change, export and delete them with the real command."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

_NUMBERS = itertools.count()
EVENT = (
    "BEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:{uid}\r\nDTSTART;VALUE=DATE:{day}\r\n{more}END:VEVENT\r\n"
)


class Files:
    """A folder with a calendar and a definition that excludes its days, with unique names."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.tag = f"cal{next(_NUMBERS)}"
        self.calendar, self.user = f"{self.tag}-holidays", f"{self.tag}-report"
        self.folder = Path(shell.folder) / "files"
        self.folder.mkdir()

    def write_calendar(self, **spec: Any) -> None:
        self._write("calendar", "Calendar", self.calendar, spec)

    def write_user(self, calendar: str | None = None, **bounds: Any) -> None:
        exclude = {"calendars": [calendar or self.calendar]}
        cron = {"schedule": "0 3 1 1 *", "exclude": exclude, **bounds}
        task = {"name": "one", "command": {"argv": ["true"]}}
        spec = {"triggers": [{"name": "yearly", "cron": cron}], "tasks": [task]}
        self._write("report", "ActivityDefinition", self.user, spec)

    def _write(self, file: str, kind: str, name: str, spec: Any) -> None:
        head = {"apiVersion": "activityctl/v1", "kind": kind, "metadata": {"name": name}}
        text = yaml.safe_dump({**head, "spec": spec}, sort_keys=False)
        (self.folder / f"{file}.yaml").write_text(text)

    def write_ical(self, **days: str) -> None:
        events = "".join(EVENT.format(uid=uid, day=day, more="") for uid, day in days.items())
        text = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n{events}END:VCALENDAR\r\n"
        (self.folder / "days.ics").write_bytes(text.encode())

    def __call__(self, *arguments: str, code: int = 0, **options: Any) -> Any:
        return self.shell(*arguments, code=code, **options)

    def apply(self, *arguments: str) -> dict[str, str]:
        view = self.shell.json("apply", "-f", "files", *arguments)
        return {change["name"]: change["action"] for change in view["changes"]}


@pytest.fixture
def files(shell: Any) -> Files:
    return Files(shell)


def test_a_calendar_is_applied_shown_changed_exported_and_deleted(files: Files):
    files.write_ical(christmas="20261225", boxing="20261226")
    files.write_calendar(ical="days.ics", days=["2026-12-24", "2027-01-01"])
    files.write_user()
    assert files("validate", "-f", "files").stdout.count(" valid") == 2
    plan = files("plan", "-f", "files").stdout
    assert "    days: 2026-12-24/2026-12-26, 2027-01-01\n" in plan
    assert files.apply() == {files.calendar: "created", files.user: "created"}
    assert set(files.apply().values()) == {"unchanged"}

    view = files.shell.json("describe", "cal", files.calendar)
    assert view["days"] == ["2026-12-24/2026-12-26", "2027-01-01"]
    rows = files("get", "calendars").stdout.splitlines()
    assert any(row.split()[:2] == [files.calendar, "4"] for row in rows)

    # The file changes, the manifest does not.
    files.write_ical(christmas="20261225")
    plan = files("plan", "-f", "files").stdout
    assert 'spec.days[2026-12-26]: "2026-12-26" -> (none)' in plan
    assert files.shell.json("plan", "-f", "files")["schedules"] == []
    diff = files("diff", "-f", "files", code=1).stdout
    assert f"--- live/calendar/{files.calendar}" in diff
    assert files.apply() == {files.calendar: "configured", files.user: "unchanged"}
    changes = files.shell.json("history", "cal", files.calendar)["items"]
    assert [change["action"] for change in changes] == ["configured", "created"]

    exported = files("export", files.calendar).stdout
    assert "ical" not in exported
    assert "unchanged" in files("apply", "-f", "-", stdin=exported).stdout

    files("rollback", "cal", files.calendar)
    again = files.shell.json("describe", "cal", files.calendar)
    assert again["days"] == view["days"]

    refused = files("delete", "cal", files.calendar, "--yes", code=5)
    reason = f"calendar/{files.calendar} cannot be deleted: definition {files.user} uses it"
    assert reason in refused.stderr
    files("delete", "def", files.user, "--yes")
    assert "deleted" in files("delete", "cal", files.calendar, "--yes").stdout
    files("describe", "cal", files.calendar, code=4)


def test_a_set_prunes_a_calendar_only_together_with_its_last_user(files: Files):
    files.write_calendar(days=["2026-12-25"])
    files.write_user()
    files.apply("--applyset", files.tag)
    (files.folder / "calendar.yaml").unlink()
    refused = files("apply", "-f", "files", "--applyset", files.tag, "--prune", "--yes", code=3)
    assert (
        f"no Calendar '{files.calendar}' in these files or among applied calendars"
        in refused.stderr
    )
    files.write_calendar(days=["2026-12-25"])
    (files.folder / "report.yaml").unlink()
    (files.folder / "calendar.yaml").rename(files.folder / "kept.yaml")
    text = (files.folder / "kept.yaml").read_text().replace("holidays", "others")
    (files.folder / "kept.yaml").write_text(text)
    assert files.apply("--applyset", files.tag, "--prune", "--yes") == {
        f"{files.tag}-others": "created",
        files.calendar: "deleted",
        files.user: "deleted",
    }


def test_a_saved_plan_contains_the_days_of_the_file(files: Files):
    files.write_ical(christmas="20261225")
    files.write_calendar(ical="days.ics")
    files("plan", "-f", "files", "--out", "plan.json")
    (files.folder / "days.ics").unlink()
    files("apply", "plan.json")
    assert files.shell.json("describe", "cal", files.calendar)["days"] == ["2026-12-25"]


def problem(done: Any) -> tuple[int, int, str, str]:
    (found,) = json.loads(done.stderr)["problems"]
    return found["line"], found["column"], found["path"], found["message"]


def test_an_unknown_calendar_is_reported_with_its_column(files: Files):
    files.write_user("holidais")
    note = files("validate", "-f", "files").stderr
    assert "Calendar 'holidais' is not among these files" in note
    done = files("plan", "-f", "files", "-o", "json", code=3)
    line, column, path, message = problem(done)
    text = (files.folder / "report.yaml").read_text().splitlines()[line - 1]
    assert text[column - 1 :] == "holidais"
    assert path == "spec.triggers[0].cron.exclude.calendars[0]"
    assert message.startswith("no Calendar 'holidais' in these files or among applied calendars")


@pytest.mark.parametrize(
    ("ical", "message"),
    [
        ("absent.ics", "absent.ics: there is no such file or folder"),
        ("../days.ics", "should be a path in the folder of this manifest or below it, without .."),
        ("calendar.yaml", "calendar.yaml is not a valid iCalendar file"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_with_the_line_of_the_manifest(
    stranger: Any, ical: str, message: str
):
    files = Files(stranger)
    files.write_calendar(ical=ical)
    line, _, path, found = problem(stranger("validate", "-f", "files", "-o", "json", code=3))
    assert (line, path) == (6, "spec.ical")
    assert found.startswith(message)


def test_an_exported_window_can_be_applied_unchanged(files: Files):
    files.write_calendar(days=["2026-12-25"])
    files.write_user()
    report = files.folder / "report.yaml"
    text = report.read_text().replace(
        "schedule:", "window: {from: '08:00', to: '9:30'}\n      schedule:"
    )
    report.write_text(text.replace("'9:30'", "'09:30'"))
    files.apply()
    exported = files("export", files.user).stdout
    assert "unchanged" in files("apply", "-f", "-", stdin=exported).stdout


def test_standard_input_has_no_folder_for_a_file(stranger: Any):
    files = Files(stranger)
    files.write_calendar(ical="days.ics")
    text = (files.folder / "calendar.yaml").read_text()
    done = stranger("validate", "-f", "-", code=3, stdin=text)
    assert "<stdin>:6:9: spec.ical: a manifest from standard input has no folder" in done.stderr


def test_a_window_that_excludes_every_firing_is_an_error(stranger: Any):
    files = Files(stranger)
    files.write_calendar(days=["2026-12-25"])
    files.write_user(window={"outside": "skip", "timezone": "UTC"})
    report = files.folder / "report.yaml"
    text = report.read_text()  # PyYAML writes 08:00 without quotes, which our loader refuses
    report.write_text(
        text.replace("outside:", "from: '08:00'\n        to: '09:00'\n        outside:")
    )
    done = stranger("validate", "-f", "files", "-o", "json", code=3)
    _, _, path, message = problem(done)
    assert path == "spec.triggers[0].cron.window"
    assert "the firing of 2026-01-01T03:00:00Z is outside its window (08:00-09:00 UTC)" in message
