import time

import pytest

from activityctl.adapters.manifests import ical as module
from activityctl.adapters.manifests.ical import read_days

CHRISTMAS = "UID:c\nSUMMARY:Christmas\nDTSTART;VALUE=DATE:20251225"


def ical(*events: str, head: str = "") -> bytes:
    body = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//EN\n{head}{body}END:VCALENDAR\n"
    return text.replace("\n", "\r\n").encode()


def days(*events: str, head: str = "") -> list[str]:
    """Return the days, evaluated in this process, which is faster than in a separate one."""
    answer = module._answer(ical(*events, head=head))
    return list(answer["days"])


def test_the_days_are_evaluated_in_a_separate_process():
    event = f"{CHRISTMAS}\nRRULE:FREQ=YEARLY;COUNT=2"
    assert list(map(str, read_days(ical(event)))) == ["2025-12-25", "2026-12-25"]
    with pytest.raises(ValueError, match="is not a valid iCalendar file"):
        read_days(b"<html>404</html>")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (CHRISTMAS, ["2025-12-25"]),
        # The end of an all-day event is the first day after it.
        (f"{CHRISTMAS}\nDTEND;VALUE=DATE:20251227", ["2025-12-25/2025-12-26"]),
        (f"{CHRISTMAS}\nDTEND;VALUE=DATE:20251225", ["2025-12-25"]),
        (f"{CHRISTMAS}\nDURATION:P3D", ["2025-12-25/2025-12-27"]),
        (
            f"{CHRISTMAS}\nRRULE:FREQ=YEARLY;COUNT=3\nEXDATE;VALUE=DATE:20261225",
            ["2025-12-25", "2027-12-25"],
        ),
        (f"{CHRISTMAS}\nRDATE;VALUE=DATE:20260106", ["2025-12-25", "2026-01-06"]),
        # The fourth Thursday of November; days after 2040 are left out.
        (
            "UID:t\nDTSTART;VALUE=DATE:20381125\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            ["2038-11-25", "2039-11-24", "2040-11-22"],
        ),
        ("UID:b\nDTSTART;VALUE=DATE:20191231\nDTEND;VALUE=DATE:20200102", ["2020-01-01"]),
        ("UID:e\nDTSTART;VALUE=DATE:20401231\nDTEND;VALUE=DATE:20410105", ["2040-12-31"]),
        # Timed events count in their own zone; one that ends at midnight leaves out the next day.
        (
            (
                "UID:p\nDTSTART;TZID=America/New_York:20260704T220000\n"
                "DTEND;TZID=America/New_York:20260705T000000"
            ),
            ["2026-07-04"],
        ),
        (
            (
                "UID:p\nDTSTART;TZID=America/New_York:20260704T220000\n"
                "DTEND;TZID=America/New_York:20260705T001000"
            ),
            ["2026-07-04/2026-07-05"],
        ),
        ("UID:u\nDTSTART:20260704T233000Z\nDTEND:20260704T235900Z", ["2026-07-04"]),
        (
            "UID:z\nDTSTART;TZID=Asia/Tokyo:20260705T080000\nDTEND:20260705T000000Z",
            ["2026-07-05"],
        ),
        ("UID:i\nDTSTART:20260704T120000Z", ["2026-07-04"]),
        (f"{CHRISTMAS}\nSTATUS:CONFIRMED\nTRANSP:TRANSPARENT", ["2025-12-25"]),
    ],
)
def test_an_event_gives_the_days_on_which_it_takes_place(event: str, expected: list[str]):
    assert days(event) == expected


def test_cancelled_events_and_cancelled_occurrences_have_no_days():
    assert days(
        f"{CHRISTMAS}\nRRULE:FREQ=YEARLY;COUNT=3",
        "UID:c\nRECURRENCE-ID;VALUE=DATE:20261225\nDTSTART;VALUE=DATE:20261225\nSTATUS:CANCELLED",
        "UID:d\nDTSTART;VALUE=DATE:20260501\nSTATUS:CANCELLED",
    ) == ["2025-12-25", "2027-12-25"]


def test_an_occurrence_that_was_moved_has_its_new_day():
    assert days(
        f"{CHRISTMAS}\nRRULE:FREQ=YEARLY;COUNT=2",
        "UID:c\nRECURRENCE-ID;VALUE=DATE:20261225\nDTSTART;VALUE=DATE:20261228",
    ) == ["2025-12-25", "2026-12-28"]


def test_a_time_zone_defined_in_the_file_is_used():
    zone = (
        "BEGIN:VTIMEZONE\nTZID:Office\nBEGIN:STANDARD\nDTSTART:19700101T000000\n"
        "TZOFFSETFROM:+1300\nTZOFFSETTO:+1300\nEND:STANDARD\nEND:VTIMEZONE\n"
    )
    event = "UID:o\nDTSTART;TZID=Office:20260705T003000\nDTEND;TZID=Office:20260705T010000"
    assert days(event, head=zone) == ["2026-07-05"]


def test_adjacent_days_become_one_span():
    events = [f"UID:{n}\nDTSTART;VALUE=DATE:202605{n:02}" for n in (3, 1, 2, 2, 9)]
    assert days(*events) == ["2026-05-01/2026-05-03", "2026-05-09"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has no complete VCALENDAR"),
        (b"<html>404</html>", "is not a valid iCalendar file"),
        (b"\xff\xfe\x00", "is not a valid iCalendar file"),
        (ical(CHRISTMAS)[:80], "is not a valid iCalendar file"),
        (ical(), "has no event from 2020 to 2040"),
        (ical("UID:o\nDTSTART;VALUE=DATE:20180101"), "has no event from 2020 to 2040"),
        (
            ical("UID:c\nSUMMARY:Xmas\nDTSTART;VALUE=DATE:20251345"),
            "event 'Xmas': DTSTART: Wrong date",
        ),
        (ical(f"{CHRISTMAS}\nRRULE:FREQ=SOMETIMES"), "event 'Christmas': RRULE: Expected freq"),
        (ical("UID:n\nSUMMARY:Some day"), "event 'Some day' has no DTSTART"),
        (
            ical(f"{CHRISTMAS}\nDTEND;VALUE=DATE:20251224"),
            "event 'Christmas': DTEND is before DTSTART",
        ),
        (
            ical("UID:t\nDTSTART:20260704T120000Z\nDTEND:20260703T120000Z"),
            "event 't': DTEND is before DTSTART",
        ),
        (ical("UID:t\nDTSTART:20260704T120000Z\nDTEND:20260704T110000"), "DTEND is before DTSTART"),
        (ical(f"{CHRISTMAS}\nDTEND:20251226T120000Z"), "one of DTSTART and DTEND is a date"),
        (ical(f"{CHRISTMAS}\nDURATION:-P1D"), "event 'Christmas': its DURATION is negative"),
        (
            ical("UID:h\nDTSTART;VALUE=DATE:99991231\nRRULE:FREQ=YEARLY"),
            "is not a valid iCalendar file",
        ),
    ],
)
def test_a_file_that_is_not_a_calendar_is_refused_with_the_reason(content: bytes, reason: str):
    error = module._answer(content)["error"]
    assert reason in error
    assert "\n" not in error


@pytest.mark.slow
def test_an_event_that_recurs_every_second_is_refused(monkeypatch: pytest.MonkeyPatch):
    assert module._CPU_SECONDS == 5
    monkeypatch.setattr(module, "_CPU_SECONDS", 1)
    before = time.monotonic()
    with pytest.raises(ValueError, match="takes more than 1 s to read"):
        read_days(ical("UID:s\nDTSTART:20200101T000000Z\nRRULE:FREQ=SECONDLY"))
    assert time.monotonic() - before < 60


@pytest.mark.slow
def test_a_large_file_with_thousands_of_events_is_read():
    note = "\n ".join(["DESCRIPTION:" + "x" * 60, *["y" * 60] * 4])
    events = [
        f"UID:{n}\nDTSTART;VALUE=DATE:2026{n % 12 + 1:02}{n % 28 + 1:02}\nRRULE:FREQ=YEARLY\n{note}"
        for n in range(3_000)
    ]
    content = ical(*events)
    assert len(content) > 900_000
    found = read_days(content)
    assert (str(found[0]), str(found[-1])) == ("2026-01-01", "2040-12-28")
