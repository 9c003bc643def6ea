"""The URL of a database is made safe, unless it says otherwise."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from activityctl.adapters.postgres.connection_url import secured, unverified_tls
from activityctl.errors import UsageError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3", "LOCALHOST"])
def test_a_server_on_this_machine_must_use_scram(host: str):
    found = conninfo_to_dict(secured(f"postgresql://me:pw@{host}/db"))
    assert found["require_auth"] == "scram-sha-256"
    assert "sslmode" not in found
    assert unverified_tls(f"postgresql://me:pw@{host}/db") is None


def test_a_server_elsewhere_must_also_have_a_certificate_for_its_name():
    found = conninfo_to_dict(secured("postgresql://me:pw@db.example/db?application_name=x"))
    assert (found["require_auth"], found["sslmode"]) == ("scram-sha-256", "verify-full")
    assert found["sslrootcert"]
    assert (found["user"], found["password"], found["application_name"]) == ("me", "pw", "x")


@pytest.mark.parametrize("auth", ["none", "gss", "md5,scram-sha-256", "password"])
def test_the_url_can_allow_other_ways_to_log_in(auth: str):
    url = f"postgresql://me@db.example/db?require_auth={auth}&sslmode=require"
    found = conninfo_to_dict(secured(url))
    assert (found["require_auth"], found["sslmode"]) == (auth, "require")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_tls_that_is_not_checked_is_reported(mode: str):
    problem = unverified_tls(f"postgresql://me:s3cret@db.example,127.0.0.1/db?sslmode={mode}")
    assert problem == f"the certificate of db.example is not checked (sslmode={mode})"


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_tls_that_is_checked_is_not_reported(mode: str):
    assert unverified_tls(f"postgresql://me@db.example/db?sslmode={mode}") is None
    assert "sslrootcert=/own.pem" in secured("postgresql://db.example/db?sslrootcert=/own.pem")


@pytest.mark.parametrize("url", ["postgresql:///db", "dbname=db host=/run/postgresql"])
def test_a_socket_file_may_use_the_systems_accounts(url: str):
    assert "require_auth" not in secured(url)
    assert "sslmode" not in secured(url)


def test_the_strictest_rule_counts_if_one_of_several_hosts_is_elsewhere():
    found = conninfo_to_dict(secured("postgresql://me:pw@localhost,db.example/db"))
    assert found["sslmode"] == "verify-full"


@pytest.mark.parametrize("url", ["postgresql://me:s3cret@[::1/db", "postgresql://u:s3cret@h:x%zz/"])
def test_a_malformed_url_is_not_quoted(url: str):
    with pytest.raises(UsageError) as raised:
        secured(url)
    assert "s3cret" not in str(raised.value)
