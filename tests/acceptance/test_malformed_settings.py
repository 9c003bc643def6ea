"""A malformed database URL never shows its password: not on the terminal, not in a report."""

import pytest

MALFORMED = {
    "bracket": "postgresql://app:canary-1234@[bad/db",
    "unescaped @": "postgresql://app:ab@canary-1234@127.0.0.1:1/db",
    "unescaped /": "postgresql://app:canary-1234/canary-5@127.0.0.1:1/db",
    "unescaped %": "postgresql://app:canary%zz-1234@127.0.0.1:1/db",
    "unescaped space": "postgresql://app:canary 1234@127.0.0.1:1/db",
    "no scheme": "postgres//app:canary-1234@x/db",
    "unknown option": "host=127.0.0.1 port=1 password=canary-1234 foo=bar",
    "unclosed quote": "host=127.0.0.1 password='canary-1234",
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("arguments", [("get", "runs"), ("doctor",)])
def test_a_malformed_url_is_an_error_that_does_not_show_it(
    stranger, monkeypatch, tmp_path, case, arguments
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(
        type(stranger),
        "environment",
        {
            **stranger.environment,
            "ACTIVITYCTL_DATABASE_URL": MALFORMED[case],
            "TMPDIR": str(tmp_path),
        },
    )
    done = stranger(*arguments, code=None)
    assert done.returncode in ({3} if arguments[0] == "get" else {1, 3}), done.stderr
    assert "database URL is malformed" in done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr
    reports = "".join(path.read_text() for path in tmp_path.glob("activityctl-*.txt"))
    assert "canary" not in reports
