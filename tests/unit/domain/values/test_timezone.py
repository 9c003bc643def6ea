"""Names of time zones."""

import pytest

from activityctl.domain.values.timezone import check_zone


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Berlin", "write Europe/Berlin"),
        ("berlin ", "write Europe/Berlin"),
        ("New York", "write America/New_York"),
        ("Buenos_Aires", "write America/Argentina/Buenos_Aires"),
        ("Europe/Chicago", "write America/Chicago"),
        ("Tokio", "write Asia/Tokyo"),
        ("europe/berln", "write Europe/Berlin"),
        ("CEST", "write Europe/Berlin"),
        ("UTC+2", "write a place such as Europe/Berlin, or Etc/GMT-2"),
        ("-05:00", "write a place such as Europe/Berlin, or Etc/GMT+5"),
        ("Hamburg", "write an IANA name such as Europe/Berlin"),
    ],
)
def test_an_unknown_zone_has_the_nearest_name_as_its_hint(name: str, hint: str):
    with pytest.raises(ValueError, match="unknown time zone") as caught:
        check_zone(name)
    assert str(caught.value) == f"unknown time zone {name!r}: {hint}"


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/GMT-2", "America/Sao_Paulo"])
def test_a_zone_that_a_hint_names_is_known(name: str):
    assert check_zone(name) == name
