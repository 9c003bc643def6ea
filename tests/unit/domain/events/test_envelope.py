"""EventEnvelope: which CloudEvents are accepted unchanged, and which are refused, by field."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.events.envelope import EventEnvelope, envelope_of, fill
from activityctl.errors import InvalidEventError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ORDER = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}

CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cn", "Cs"))
NAMES = st.text(CHARACTERS, min_size=1, max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS), inner),
    max_leaves=8,
)
TIMES = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.just(UTC),
)
EXTENSION_NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in {"id", "source", "type", "subject", "time", "data", "specversion"}
)
EXTENSIONS = st.text(CHARACTERS) | st.booleans() | st.integers(-(2**31), 2**31 - 1)
DATA = st.fixed_dictionaries({}, optional={"data": JSON}) | st.just({"data_base64": "AAH/"})
DOCUMENTS = st.builds(
    lambda *parts: {name: item for part in parts for name, item in part.items()},
    st.dictionaries(EXTENSION_NAMES, EXTENSIONS, max_size=3),
    st.fixed_dictionaries(
        {"specversion": st.just("1.0"), "id": NAMES, "source": NAMES, "type": NAMES},
        optional={
            "subject": NAMES,
            "time": TIMES.map(datetime.isoformat),
            "datacontenttype": st.sampled_from(["text/plain", "application/json; charset=utf-8"]),
            "dataschema": NAMES,
        },
    ),
    DATA,
)


def order(**more: Any) -> EventEnvelope:
    return envelope_of({**ORDER, **more})


@given(DOCUMENTS)
def test_a_valid_event_is_kept_unchanged(document: dict[str, Any]) -> None:
    event = envelope_of(document)
    assert event.document == document
    assert (event.id, event.source, event.type, event.subject, event.data) == tuple(
        document.get(name) for name in ("id", "source", "type", "subject", "data")
    )
    again = envelope_of(json.loads(json.dumps(event.document)))
    assert (again, again.digest) == (event, event.digest)


@given(DOCUMENTS, st.randoms())
def test_the_order_of_keys_does_not_change_the_digest(
    document: dict[str, Any], random: Any
) -> None:
    names = list(document)
    random.shuffle(names)
    assert envelope_of({name: document[name] for name in names}).digest == (
        envelope_of(document).digest
    )


@given(JSON | DOCUMENTS, JSON)
def test_any_json_is_an_event_or_refused(value: Any, extra: Any) -> None:
    with_extra = {**ORDER, "extra": extra}
    for document in (value, with_extra, {**ORDER, "time": extra, "data_base64": extra}):
        with suppress(InvalidEventError):
            assert envelope_of(document).document.keys() <= document.keys()


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"id": None}, "id", "is missing"),
        ({"source": ""}, "source", "is empty"),
        ({"type": 5}, "type", "is a number, not a string"),
        ({"specversion": None}, "specversion", 'is missing; write "1.0"'),
        ({"specversion": "0.3"}, "specversion", 'is not "1.0"'),
        ({"specversion": 1.0}, "specversion", 'is not "1.0"'),
        ({"id": "a\x1fb"}, "id", "contains U+001F at character 2"),
        ({"source": "a\ud800"}, "source", "contains U+D800 at character 2"),
        ({"type": "a\0"}, "type", "contains U+0000"),
        ({"subject": "\ufdd0"}, "subject", "contains U+FDD0"),
        ({"subject": "x\U0001ffff"}, "subject", "contains U+1FFFF at character 2"),
        ({"id": "x" * 1025}, "id", "is longer than 1,024 bytes"),
        ({"source": "é" * 513}, "source", "is longer than 1,024 bytes"),
        ({"subject": ""}, "subject", "is empty"),
        ({"datacontenttype": "json"}, "datacontenttype", "is not a media type"),
        ({"time": "yesterday"}, "time", "is not an RFC 3339 time"),
        ({"time": "2026-05-01T12:00:00"}, "time", "is not an RFC 3339 time"),
        ({"time": "2026-05-01"}, "time", "is not an RFC 3339 time"),
        ({"time": "2026-02-30T12:00:00Z"}, "time", "does not exist in the calendar"),
        ({"time": "0001-01-01T00:00:00+01:00"}, "time", "does not exist in the calendar"),
        ({"time": "٢٠٢٦-05-01T12:00:00Z"}, "time", "is not an RFC 3339 time"),
        ({"time": 1777636800}, "time", "is a number, not a string"),
        ({"eventType": "x"}, "eventType", "is not a valid attribute name"),
        ({"Type": "x"}, "Type", "did you mean type?"),
        ({"order": {"id": 1}}, "order", "is an object, but an extension is"),
        ({"tags": ["a"]}, "tags", "put your own fields under data"),
        ({"ratio": 0.5}, "ratio", "is a number, but an extension is"),
        ({"sequence": 2**31}, "sequence", "is an integer that does not fit in 32 bits"),
        ({"note": "two\nlines"}, "note", "contains U+000A at character 4"),
        ({"data": 1, "data_base64": "AA=="}, "data_base64", "cannot be combined with data"),
        ({"data_base64": "A"}, "data_base64", "is not base64"),
        ({"data_base64": "AA==\n"}, "data_base64", "is not base64"),
        ({"data_base64": "é"}, "data_base64", "is not base64"),
        ({"data_base64": 7}, "data_base64", "is a number"),
    ],
)
def test_a_wrong_attribute_is_refused_by_name(
    change: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        order(**change)
    assert caught.value.field == field
    assert reason in caught.value.reason
    assert caught.value.message == f"{field}: {caught.value.reason}"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [([], "an array"), ("x", "a string"), (1, "a number"), (None, "null"), (True, "a boolean")],
)
def test_a_value_that_is_no_object_is_refused(value: Any, kind: str) -> None:
    with pytest.raises(InvalidEventError, match=f"an event is a JSON object, not {kind}"):
        envelope_of(value)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-05-01T12:00:00Z", NOW),
        ("2026-05-01t14:00:00.000000999+02:00", NOW),
        ("2026-05-01 12:00:00.25z", NOW + timedelta(milliseconds=250)),
        ("2026-05-01T11:59:60Z", NOW),
        ("2026-05-01T11:59:60.5Z", NOW),
    ],
)
def test_the_time_is_parsed_to_utc_and_its_text_is_kept(text: str, time: datetime) -> None:
    event = order(time=text)
    assert event.time == time
    assert event.time.tzinfo is UTC
    assert event.document["time"] == text


def test_a_null_attribute_counts_as_absent_but_null_data_is_kept() -> None:
    event = order(subject=None, time=None, traceparent=None, data=None)
    assert event.document == {**ORDER, "data": None}
    assert event.subject is event.time is None
    assert order(data=None, data_base64="AA==").document == {**ORDER, "data_base64": "AA=="}


def test_extensions_are_what_cloudevents_does_not_define() -> None:
    event = order(partitionkey="a", sampled=True, sequence=-(2**31), empty="", data={"x": 1})
    assert event.extensions == {
        "partitionkey": "a",
        "sampled": True,
        "sequence": -(2**31),
        "empty": "",
    }


def test_other_content_with_the_same_key_has_another_digest() -> None:
    variants = [{}, {"data": 1}, {"data": True}, {"data": "1"}, {"data": None}, {"x": "1"}]
    variants += [{"subject": "1"}, {"data_base64": "AA=="}, {"time": "2026-05-01T12:00:00Z"}]
    assert len({order(**variant).digest for variant in variants}) == len(variants)
    assert len({order(**variant).key for variant in variants}) == 1


def test_ids_and_digests_are_the_same_as_in_the_first_release() -> None:
    """They are stored in databases: with other values, an event sent again would be new."""
    event = order(data={"b": 1, "a": "ä"})
    assert event.event_id == "f515903f-5edc-50a0-b5bf-001022419c93"
    assert event.digest == "f400e7549f6811798d2d105168487521ba0d63dc5218abc730a5c9b52614b8f4"


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_source_and_id_together_make_the_key(left: tuple[str, str], right: tuple[str, str]) -> None:
    first, second = (order(source=source, id=name) for source, name in (left, right))
    assert (first.key == second.key) is (left == right)
    assert (first.event_id == second.event_id) is (left == right)


def test_fill_adds_missing_attributes_and_returns_their_names() -> None:
    value, filled = fill({"type": "x", "id": None}, NOW, lambda: "made", "/terminal")
    assert value == {
        "type": "x",
        "id": "made",
        "specversion": "1.0",
        "time": "2026-05-01T12:00:00Z",
        "source": "/terminal",
    }
    assert filled == ("specversion", "id", "time", "source")
    assert envelope_of(value, filled).filled == filled


def test_fill_does_not_replace_attributes() -> None:
    whole = {**ORDER, "time": "2026-05-01T12:00:00+02:00"}
    assert fill(whole, NOW, lambda: "made", "/terminal") == (whole, ())
    assert fill({**whole, "id": ""}, NOW, lambda: "made")[1] == ()
    assert "source" not in fill({}, NOW, lambda: "made")[0]
    assert fill([1], NOW, lambda: "made") == ([1], ())


def test_a_filled_time_does_not_change_the_digest() -> None:
    bare = {"id": "1", "source": "/shop", "type": "order.created", "data": 1}
    first = envelope_of(*fill(bare, NOW, lambda: "made"))
    later = envelope_of(*fill(bare, NOW + timedelta(hours=1), lambda: "made"))
    assert first.time != later.time
    assert first.digest == later.digest
    given_time = envelope_of(*fill({**bare, "time": "2026-05-01T12:00:00Z"}, NOW, lambda: "made"))
    assert given_time.time == first.time
    assert given_time.digest != first.digest
