import pytest

from activityctl.domain.cel.clauses import Clause, clause_of, conjuncts
from activityctl.domain.cel.program import Program, compiled


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("event.a", ("event.a",)),
        (" event.a && event.b ", ("event.a", "event.b")),
        ("(event.a && (event.b && event.c))", ("event.a", "event.b", "event.c")),
        ("event.a && event.b || event.c", ("event.a && event.b || event.c",)),
        ("event.a && (event.b || event.c)", ("event.a", "(event.b || event.c)")),
        ("event.a ? event.b && event.c : true", ("event.a ? event.b && event.c : true",)),
        ("event.a == 'x && y' && event.b", ("event.a == 'x && y'", "event.b")),
        (r'event.a == "\" && " && event.b', (r'event.a == "\" && "', "event.b")),
        (r'event.a == r"\d && " && event.b', (r'event.a == r"\d && "', "event.b")),
        ('event.a == """x" && """ && event.b', ('event.a == """x" && """', "event.b")),
        ("event.`a-b` && event.b", ("event.`a-b`", "event.b")),
        ("event.a // && event.b\n&& event.c", ("event.a // && event.b\n&& event.c",)),
        ("event.l.all(x, x && true) && event.b", ("event.l.all(x, x && true)", "event.b")),
        ("(event.a) == (event.b) && event.c", ("(event.a) == (event.b)", "event.c")),
    ],
)
def test_operands_of_and_are_split_as_written(source, parts):
    assert conjuncts(source) == parts
    assert all(isinstance(compiled(part), Program) for part in parts)


@pytest.mark.parametrize(
    ("source", "clause"),
    [
        ("event.a == 1", Clause("==", ("event.a", "1"))),
        ("event.a + 1 >= params.b * 2", Clause(">=", ("event.a + 1", "params.b * 2"))),
        ("event.a in ['in', 'x']", Clause("in", ("event.a", "['in', 'x']"))),
        ("(event.a < 1) == event.b", Clause("==", ("(event.a < 1)", "event.b"))),
        ("event.a < 1 == event.b", Clause("==", ("event.a < 1", "event.b"))),
        ("!event.a == event.b", Clause("==", ("!event.a", "event.b"))),
        ("!(event.a == event.b)", Clause("!", ("(event.a == event.b)",))),
        ("event.a || event.b", Clause("||", ("event.a", "event.b"))),
        ("event.inner.contains('==')", Clause()),
        ("event.a ? true : event.b == 1", Clause()),
    ],
)
def test_a_clause_is_split_at_its_outermost_operator(source, clause):
    assert clause_of(source) == clause
