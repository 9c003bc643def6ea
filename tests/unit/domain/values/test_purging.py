"""A purged text is replaced in texts, keys and numbers, in each form in which it is stored."""

import json

from activityctl.domain.values.purging import forms_of, purge_json, purge_text

SECRET = 'p"ä/q\n1'


def test_a_text_is_replaced_everywhere_in_json():
    value = {"canary-1": ["xcanary-1x", {"a": "canary-1"}], "b": [None, True, 1.5]}
    assert purge_json(value, forms_of("canary-1")) == {
        "***": ["x***x", {"a": "***"}],
        "b": [None, True, 1.5],
    }


def test_a_number_that_contains_the_text_is_replaced():
    assert purge_json({"a": 91234567, "b": 12.5}, forms_of("123456")) == {"a": "***", "b": 12.5}


def test_the_text_is_found_in_json_inside_of_a_text_and_in_a_url():
    for stored in (SECRET, json.dumps([SECRET]), "https://a.example/?k=p%22%C3%A4%2Fq%0A1"):
        purged = purge_text(stored, forms_of(SECRET))
        assert "***" in purged
        assert "q" not in purged
