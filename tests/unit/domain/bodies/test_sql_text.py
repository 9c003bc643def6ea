"""Parameters of statements are found where a database would read them."""

import pytest

from activityctl.domain.bodies.sql_text import parameter_names, returns_rows


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("SELECT :a, :b, :a", ["a", "b"]),
        ("SELECT ':a', \":b\", `:c`, 'it''s :d'", []),
        ("SELECT E'\\':a' , :b", ["b"]),
        ("SELECT 1 -- :a\n, :b /* :c */", ["b"]),
        ("SELECT :a::date, x::text", ["a"]),
        ("SELECT list[1:n], list[:low:high]", ["low", "high"]),
        ("SELECT $$ :a $$, $x$ :b $$ $x$, :c", ["c"]),
        ("SELECT x FROM t WHERE a=:a AND b>:b", ["a", "b"]),
        ("x := :a", ["a"]),
        ("SELECT '10:30', 12:30", []),
    ],
)
def test_parameters(statement: str, names: list[str]):
    assert parameter_names(statement) == names


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("  select 1", True),
        ("-- note\nSELECT 1", True),
        ("(SELECT 1)", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (SELECT 1) DELETE FROM b", False),
        ("INSERT INTO a VALUES (1) RETURNING id", True),
        ("UPDATE a SET b = 1", False),
        ("CREATE TABLE selected (id int)", False),
    ],
)
def test_what_returns_rows(statement: str, expected: bool):  # noqa: FBT001 - a table
    assert returns_rows(statement) is expected
