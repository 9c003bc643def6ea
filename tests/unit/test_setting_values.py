"""Values of single settings are read, or refused with the way to write them."""

from typing import Any

import pytest

from activityctl.errors import UsageError
from activityctl.setting_values import web_page


@pytest.mark.parametrize("value", ["temporal.example", "javascript:alert(1)", "http://", 5])
def test_the_web_page_of_temporal_is_an_address(value: Any):
    with pytest.raises(UsageError) as caught:
        web_page("temporal_ui", {"temporal_ui": (value, "flag")})
    assert caught.value.hint == "set temporal_ui to an address such as https://temporal.example"


def test_the_slash_at_the_end_of_an_address_goes():
    sourced = {"temporal_ui": ("https://t.example/x/", "flag")}
    assert web_page("temporal_ui", sourced) == "https://t.example/x"
    assert web_page("temporal_ui", {}) is None
