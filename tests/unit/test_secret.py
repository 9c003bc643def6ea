"""References to secrets, and passwords in database URLs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from activityctl.errors import InvalidInputError, NotAllowedError
from activityctl.secret import Secret, has_password, reference_of, with_password

PASSWORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def reference(text: str, **more: Any) -> Any:
    given_by = {"source": "profile prod", "address_source": None, **more}
    return reference_of("database_password_ref", text, {"NAME": "hunter2", "EMPTY": ""}, **given_by)


@pytest.mark.parametrize(
    ("text", "store", "name"),
    [
        ("keyring:activityctl/prod-db", "keyring", "activityctl/prod-db"),
        ("keyring:a/b/c:d@e", "keyring", "a/b/c:d@e"),
        ("env:NAME", "env", "NAME"),
        ("file:/run/secrets/a b", "file", "/run/secrets/a b"),
    ],
)
def test_a_reference_has_a_store_and_a_name(text: str, store: str, name: str):
    found = reference(text)
    assert (found.store, found.name, str(found)) == (store, name, text)
    found.require_own_address()


@pytest.mark.parametrize("name", ["", "a", "/a", "a/", "a b/c"])
def test_a_key_store_reference_needs_a_service_and_an_entry(name: str):
    with pytest.raises(InvalidInputError):
        reference(f"keyring:{name}")


@pytest.mark.parametrize(
    "text", ["", "hunter2", "env:", "env:a-b", "file:", "file:a", "file:~/a", "vault:a/b", "Env:A"]
)
def test_anything_else_is_refused_without_being_shown(text: str):
    with pytest.raises(InvalidInputError) as caught:
        reference(text)
    assert (
        caught.value.message
        == "database_password_ref (profile prod) is not a reference to a secret"
    )


def test_the_value_of_a_variable_is_never_shown():
    found = reference("env:NAME")
    assert found.found == Secret("hunter2")
    assert "hunter2" not in f"{found!r} {found} {found.found}"
    assert reference("env:EMPTY").found is reference("env:OTHER").found is None


def test_a_secret_is_not_sent_to_the_address_of_another_source():
    with pytest.raises(NotAllowedError, match="not to the address from environment X"):
        reference("env:NAME", address_source="environment X").require_own_address()


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("postgresql://u:p@h/d", True),
        ("postgresql://u:p/q@r@h/d", True),
        ("postgresql://:p@h/d", True),
        ("postgresql://h/d?x=1&password=p", True),
        ("host=h password = p", True),
        ("postgresql://u@h:5432/d", False),
        ("postgresql://h:5432/d?user=a@b", False),
        ("postgresql://h1:1,h2:2/d", False),
        ("postgresql://h/d?sslpassword=p", False),
        ("postgresql:///d?host=/run", False),
        ("host=h user=u", False),
    ],
)
def test_a_password_in_a_url_is_recognised(url: str, holds: object):
    assert has_password(url) is holds


@given(PASSWORDS)
def test_a_password_is_added_unchanged(password: str):
    for url in ("postgresql://u@h:1/d", "postgresql://h/d?user=u", "host=h user=u dbname=d"):
        whole = with_password(url, password)
        assert has_password(whole)
        found = conninfo_to_dict(whole)
        assert found == {**conninfo_to_dict(url), "password": password}
    assert make_url(with_password("postgresql://u@h/d", password)).query["password"] == password
