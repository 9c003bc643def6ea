"""The text of a key, and its versions after rotations."""

from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.chain.keys import (
    HeldKey,
    HeldVersion,
    KeyKind,
    KeyVersion,
    fingerprint,
    key_text,
    next_number,
    rotated,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HEX = "ed2cff7120f726311a0eb048c2d3af3ef3a411cc93bcf82883bc8988638dcae7"


def version(number: int, at: datetime) -> HeldVersion:
    return HeldVersion(KeyVersion(number, f"public-{number}", at), f"secret-{number}")


def test_the_characters_of_an_hmac_key_stay_and_a_private_key_is_a_number():
    assert key_text(KeyKind.HMAC, f"{HEX.upper()}\n") == HEX.upper()
    assert key_text(KeyKind.RELAYER, f" 0x{HEX.upper()}\n") == HEX
    assert fingerprint(HEX) != fingerprint(HEX.upper())


@pytest.mark.parametrize("text", ["", HEX[:-1], HEX + "0", HEX[:-1] + "g", f"0x{HEX}", f"{HEX} x"])
def test_another_text_is_no_hmac_key_and_is_not_quoted(text: str):
    with pytest.raises(ValueError, match="64 hex digits") as raised:
        key_text(KeyKind.HMAC, text)
    assert HEX[:8] not in str(raised.value)


@pytest.mark.parametrize("kind", [KeyKind.EXECUTOR, KeyKind.RELAYER])
@pytest.mark.parametrize("text", ["", "0x", HEX[:-1], f"0X{HEX}", f"0x0x{HEX}"])
def test_another_text_is_no_private_key(kind: KeyKind, text: str):
    with pytest.raises(ValueError, match="64 hex digits"):
        key_text(kind, text)


def test_two_versions_are_valid_during_the_overlap_and_one_after_it():
    held = HeldKey("k", KeyKind.HMAC, (version(1, NOW),))
    after = HeldKey(
        "k", KeyKind.HMAC, rotated(held.kind, held.versions, version(2, NOW), NOW + DAY)
    )
    assert [each.secret for each in after.valid(NOW)] == ["secret-2", "secret-1"]
    assert [each.secret for each in after.valid(NOW + DAY)] == ["secret-2"]
    assert after.current.secret == "secret-2"
    assert next_number(after.versions) == 3


def test_a_second_rotation_extends_nothing_and_forgets_what_is_over():
    first = rotated(KeyKind.HMAC, (version(1, NOW),), version(2, NOW), NOW + DAY)
    soon = rotated(KeyKind.HMAC, first, version(3, NOW + DAY / 2), NOW + 3 * DAY)
    assert [each.shown.valid_until for each in soon] == [None, NOW + 3 * DAY, NOW + DAY]
    late = rotated(KeyKind.HMAC, first, version(3, NOW + 2 * DAY), NOW + 3 * DAY)
    assert [each.shown.number for each in late] == [3, 2]


def test_the_former_key_of_an_account_is_kept():
    first = rotated(KeyKind.RELAYER, (version(1, NOW),), version(2, NOW), NOW)
    after = rotated(KeyKind.RELAYER, first, version(3, NOW + DAY), NOW + DAY)
    assert [each.shown.number for each in after] == [3, 2, 1]
    assert [
        each.shown.number for each in HeldKey("r", KeyKind.RELAYER, after).valid(NOW + DAY)
    ] == [3]


def test_a_secret_is_not_in_the_text_of_its_objects():
    held = HeldKey("k", KeyKind.HMAC, (version(1, NOW),))
    assert "secret-1" not in repr(held)
