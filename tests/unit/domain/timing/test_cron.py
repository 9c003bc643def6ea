"""Cron expressions, compared with croniter and with a simple matcher of every minute."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.timing.cron import CalendarSpec, compile_calendar, parse_cron
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import CronTrigger
from activityctl.domain.timing.wall_time import LAST_YEAR
from support.examples import examples

START = datetime(2026, 11, 21, 9, 53, 26, tzinfo=UTC)

TIMES = [
    "* * * * *", "0 * * * *", "59 * * * *", "*/5 * * * *", "*/7 * * * *", "*/59 * * * *",
    "0,30 * * * *", "5,1,3 * * * *", "10-40 * * * *", "10-40/7 * * * *", "3-59/5 * * * *",
    "0-59 * * * *", "00 * * * *", "05 * * * *", "0-10,50-59 * * * *",
    "*/20,7 * * * *", "1,1,1 * * * *", "0-30/30,45 * * * *", "58,59,0 * * * *",
    "0 0 * * *", "0 23 * * *", "0 */6 * * *", "0 8-18 * * *", "0 8-18/2 * * *",
    "30 0,12 * * *", "*/15 9-17 * * *", "15 22-23,0-2 * * *", "0 1-23/11 * * *", "5 04 * * *",
    "0 7,7 * * *", "0 0-23 * * *", "*/30 */12 * * *", "1 2,4,8,16 * * *", "0 */23 * * *",
]  # fmt: skip
DAYS = [
    "0 0 1 * *", "0 0 31 * *", "0 0 30 * *", "0 0 29 * *", "0 0 */2 * *", "0 0 */10 * *",
    "0 0 1,15 * *", "0 0 10-20 * *", "0 0 10-20/3 * *", "0 0 1-31 * *", "0 0 28-31 * *",
    "0 12 01 * *", "0 0 1,2,3,30,31 * *", "*/30 6 13 * *",
    "0 0 1 1 *", "0 0 1 12 *", "0 0 1 */3 *", "0 0 1 1-6 *", "0 0 1 2-12/5 *",
    "0 0 1 jan *", "0 0 1 JAN,jul *", "0 0 1 mar-may *", "0 0 1 Oct-dec/2 *", "0 0 29 2 *",
    "0 0 29 feb *", "0 0 31 1,3,5 *", "0 0 30 4,6 *", "0 0 * 2 *", "0 0 28,29 2,3 *",
    "5 5 5 5 *", "59 23 31 12 *", "0 0 1 01 *", "0 0 31 2,3 *", "* * 1 6 *",
]  # fmt: skip
WEEKDAYS = [
    "0 0 * * 0", "0 0 * * 7", "0 0 * * 0,7", "0 0 * * 1", "0 0 * * 6", "0 0 * * 1-5",
    "0 0 * * 5-7", "0 0 * * 0-6", "0 0 * * 0-7", "0 0 * * 1-5/2", "0 0 * * */2", "0 0 * * 6,0",
    "0 0 * * mon", "0 0 * * SUN", "0 0 * * Mon-Fri", "0 0 * * sun-tue", "0 0 * * tue,thu,sat",
    "0 0 * * sun", "30 9 * * 1-3,5", "*/20 4 * * 3,wed", "0 0 * 2 1", "0 0 * 1-3 mon",
    "0 0 * * 2-6/2", "0 0 * dec sat", "0 17 * * fri",
]  # fmt: skip
EITHER_DAY = [
    "0 0 13 * 5", "0 0 1 * 1", "0 0 1,15 * mon", "0 0 1-7 * 1", "0 0 31 * 0", "0 0 31 2 1",
    "0 0 30 2 7", "0 0 1-31 * 1", "0 0 13 * 0-6", "*/30 12 15 6 3", "0 0 10-20/5 * tue-thu",
    "0 0 1,2 1,2 1,2", "0 0 29 2 1", "30 4 1,15 * 5", "0 8 5 nov wed",
]  # fmt: skip
BOTH_DAYS = [
    "0 0 */2 * 1", "0 0 1-7 * */2", "0 0 * * 3", "0 0 3 * *", "0 0 */5 * 0-3", "0 0 13 * */5",
    "0 0 */2,5 * 1", "0 0 */3 * */3", "0 0 */10 2 mon", "15 3 1,15 * */6", "0 0 */30 * 5",
]  # fmt: skip
MACROS = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"]


def _times(schedule: str, count: int) -> list[datetime]:
    return list(islice(nominal_times(CronTrigger(schedule=schedule), START), count))


def test_the_table_has_at_least_120_rows():
    rows = [*TIMES, *DAYS, *WEEKDAYS, *EITHER_DAY, *BOTH_DAYS, *MACROS]
    assert len(set(rows)) >= 120


@pytest.mark.parametrize("schedule", [*TIMES, *DAYS, *WEEKDAYS, *EITHER_DAY, *BOTH_DAYS, *MACROS])
def test_an_expression_has_the_times_of_croniter(schedule: str):
    # `implement_cron_bug`: the rule of crontab(5) that a day field with a first * is unrestricted.
    oracle = croniter(schedule, START, implement_cron_bug=True)
    expected = [oracle.get_next(datetime) for _ in range(20)]
    assert _times(schedule, 20) == [time for time in expected if time.year <= LAST_YEAR]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # From a calendar of 2026 and 2027: 1 December is a Tuesday, 11 December a Friday.
        ("0 0 13 * 5", ["11-27", "12-04", "12-11", "12-13", "12-18", "12-25"]),
        ("0 0 */2 * 1", ["11-23", "12-07", "12-21", "01-11", "01-25", "02-01"]),
        # The first Sunday; the first of a month if it is a Monday. croniter takes no such step.
        ("0 0 1-7 * */7", ["12-06", "01-03", "02-07", "03-07", "04-04", "05-02"]),
        ("0 0 8-14 * sun,*/7", ["11-22", "11-29", "12-06", "12-08", "12-09", "12-10"]),
        ("0 0 */31 * 1", ["02-01", "03-01", "11-01", "05-01", "01-01", "10-01"]),
        ("0 0 * * */7", ["11-22", "11-29", "12-06", "12-13", "12-20", "12-27"]),
        ("0 0 29 * 0", ["11-22", "11-29", "12-06", "12-13", "12-20", "12-27"]),
        ("0 0 1 * *", ["12-01", "01-01", "02-01", "03-01", "04-01", "05-01"]),
    ],
)
def test_a_day_matches_one_of_two_restricted_day_fields(schedule: str, expected: list[str]):
    assert [time.strftime("%m-%d") for time in _times(schedule, 6)] == expected


@pytest.mark.parametrize(
    ("schedule", "single"),
    [
        ("1-1 * * * *", "1 * * * *"),
        ("0 7-7 * * *", "0 7 * * *"),
        ("0 0 15-15 * *", "0 0 15 * *"),
        ("0 0 1 1-1 *", "0 0 1 1 *"),
        ("0 0 * * wed-wed", "0 0 * * 3"),
    ],
)
def test_a_range_of_one_value_is_that_value(schedule: str, single: str):
    # croniter reads such a range as the whole field, so it cannot be the oracle here.
    assert parse_cron(schedule) == parse_cron(single)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "0 fields instead of 5"),
        ("30", "1 field instead of 5"),
        ("* * * *", "4 fields instead of 5"),
        ("* * * * * *", "6 fields instead of 5 .* seconds and years are not supported"),
        ("0 0 1 1 * 2027", "6 fields"),
        ("60 * * * *", "minute '60': 60 is not within 0-59"),
        ("* 24 * * *", "hour '24': 24 is not within 0-23"),
        ("* * 0 * *", "day-of-month '0': 0 is not within 1-31"),
        ("* * 32 * *", "day-of-month '32': 32 is not within 1-31"),
        ("* * * 13 *", "month '13': 13 is not within 1-12 or jan-dec"),
        ("* * * * 8", "day-of-week '8': 8 is not within 0-7 or sun-sat"),
        ("3/5 * * * *", "minute '3/5': a step needs a range: write 3-59/5"),
        ("* * * * mon/2", "write mon-6/2"),
        ("* 22-2 * * *", "hour '22-2': .* write 22-23,0-2"),
        ("* 22-2/2 * * *", "write 22,0,2"),
        ("* * * nov-feb *", "write 11-12,1-2"),
        ("* * * * fri-sun", "write 5-6,0"),
        ("* * * * sat-mon", "write 6,0-1"),
        ("* * * * 7-2", "write 0-2"),
        ("* * * * 7-0", "write 0"),
        ("*/0 * * * *", "the step '0' is not a whole number of 1 or more"),
        ("*/-1 * * * *", "the step '-1'"),
        ("*/ * * * *", "the step ''"),
        ("1-9/2/3 * * * *", "the step '2/3'"),
        ("*/90 * * * *", "with the step 90 only 0 matches: write 0"),
        ("*/60 * * * *", "with the step 60 only 0 matches: write 0"),
        ("* * * * */8", "day-of-week '\\*/8': with the step 8 only 0 matches: write \\*/7"),
        ("* * */32 * *", "with the step 32 only 1 matches: write \\*/31"),
        ("* * * */12 *", "with the step 12 only 1 matches: write 1"),
        ("* * * * 1-5/5", "with the step 5 only 1 matches: write 1"),
        ("5-5/2 * * * *", "only 5 matches: write 5"),
        ("1,,2 * * * *", "a value is empty"),
        (",1 * * * *", "a value is empty"),
        ("1, * * * *", "a value is empty"),
        ("-5 * * * *", "minute '-5': '-5' is not within 0-59"),
        ("5- * * * *", "'' is not within 0-59"),
        ("1-2-3 * * * *", "'2-3' is not within"),
        ("** * * * *", "is not within"),
        ("*-5 * * * *", "is not within"),
        ("1.5 * * * *", "is not within"),
        ("+5 * * * *", "is not within"),
        ("\u0665 * * * *", "is not within"),
        ("99999999999999999999 * * * *", "is not within"),
        ("? * * * *", "write \\*"),
        ("H * * * *", "jitter"),
        ("0 0 L * *", "the last day"),
        ("0 0 15W * *", "nearest working day"),
        ("0 0 * * 1#2", "n-th weekday"),
        ("0 0 * * 5L", "the last day"),
        ("mon * * * *", "minute 'mon'"),
        ("* * * mon *", "month 'mon'"),
        ("* * * january *", "write jan"),
        ("* * * * monday", "write mon"),
        ("*\n* * * *", "4 fields"),
        ("@every 5m", "interval: {every: 5m}"),
        ("@every_minute", "interval: {every: 1m}"),
        ("@every-hour", "interval: {every: 1h}"),
        ("@every 1h30m", "interval: {every: 1h30m}"),
        ("@every 1.5h", "interval: {every: 5m}"),
        ("@every", "interval: {every: 5m}"),
        ("@reboot", "unknown macro '@reboot'; known: @hourly"),
        ("@Daily", "unknown macro"),
        ("TZ=UTC 0 2 * * *", "write timezone:"),
        ("CRON_TZ=UTC 0 2 * * *", "write timezone:"),
        ("1," * 300 + "1 * * * *", "the maximum is 500"),
    ],
)
def test_text_that_is_not_five_field_cron_is_refused_with_a_hint(schedule: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse_cron(schedule)


@pytest.mark.parametrize("schedule", ["  0 2 * * *  ", "0\t2 *  * *", "0 2 * * *\n"])
def test_the_space_around_fields_does_not_matter(schedule: str):
    assert parse_cron(schedule) == parse_cron("0 2 * * *")


@pytest.mark.parametrize(
    ("schedule", "never"),
    [
        ("0 0 31 2 *", True),
        ("0 0 30,31 feb *", True),
        ("0 0 31 4,6,9,11 *", True),
        ("0 0 30 2 */2", True),
        ("0 0 29 2 *", False),
        ("0 0 31 2,3 *", False),
        ("0 0 31 2 1", False),
    ],
)
def test_dates_that_do_not_exist_never_fire(schedule: str, never: bool):  # noqa: FBT001 a row
    assert parse_cron(schedule).never_fires is never


def compiled(text: str) -> tuple[CalendarSpec, ...]:
    return tuple(compile_calendar(calendar) for calendar in parse_cron(text).alternatives())


def test_specs_are_ranges_and_two_for_two_restricted_day_fields():
    both = compiled("*/15,7 8-18/2 1-7 */3 *")
    assert len(both) == 1
    assert both[0].hours == ((8, 18, 2),)
    assert both[0].months == ((1, 10, 3),)
    assert both[0].days_of_week == ((0, 6, 1),)
    first, second = compiled("0 0 13 * fri")
    assert (first.days_of_month, first.days_of_week) == (((13, 13, 1),), ((0, 6, 1),))
    assert (second.days_of_month, second.days_of_week) == (((1, 31, 1),), ((5, 5, 1),))


def test_equal_calendars_compile_to_equal_specs():
    assert compiled("0,30 0 * * 7") == compiled("*/30 00 * * sun")


@st.composite
def _fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, set[int]]:
    texts, values = [], set()
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, max(1, last - first)))
        forms = [
            ("*", range(low, high + 1)),
            (f"{first}", range(first, first + 1)),
            (f"{first}-{last}", range(first, last + 1)),
        ]
        if last > first:
            forms.append((f"{first}-{last}/{step}", range(first, last + 1, step)))
            forms.append((f"*/{step}", range(low, high + 1, step)))
        text, members = draw(st.sampled_from(forms))
        texts.append(text)
        values.update(members)
    return ",".join(texts), values


_EXPRESSIONS = st.tuples(
    _fields(0, 59), _fields(0, 23), _fields(1, 31), _fields(1, 12), _fields(0, 6)
)


@settings(max_examples=examples(40), deadline=None)
@given(_EXPRESSIONS, st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))  # noqa: DTZ001 below
def test_a_week_has_the_times_of_a_matcher_of_every_minute(
    fields: tuple[tuple[str, set[int]], ...], start: datetime
):
    (_, minutes), (_, hours), (day, days), (_, months), (weekday, weekdays) = fields
    schedule = " ".join(text for text, _ in fields)
    start = start.replace(second=0, microsecond=0, tzinfo=UTC)
    either = day[0] != "*" and weekday[0] != "*"

    def is_due(moment: datetime) -> bool:
        by_day = (moment.day in days, moment.isoweekday() % 7 in weekdays)
        return (
            moment.minute in minutes
            and moment.hour in hours
            and moment.month in months
            and (any(by_day) if either else all(by_day))
        )

    week = [start + timedelta(minutes=count) for count in range(1, 7 * 24 * 60 + 1)]
    if parse_cron(schedule).never_fires:
        assert not any(is_due(moment) for moment in week)
        return
    found = nominal_times(CronTrigger(schedule=schedule), start)
    assert list(takewhile(lambda time: time <= week[-1], found)) == list(filter(is_due, week))
