"""Finds errors of an expression without data: fields that do not exist, types that do not fit.

`expression` checks whether a source compiles. `domain.manifests.scope` has the static types of
the names in each place.
"""

import difflib
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

from activityctl.domain.cel.expression import (
    ExpressionProblem,
    TemplateProblem,
    check_expression,
    check_template,
)
from activityctl.domain.cel.operators import (
    EQUALITY,
    LOGIC,
    NUMBERS,
    RESULTS,
    are_never_equal,
    describe_kinds,
    operator_mismatch,
    results,
)
from activityctl.domain.cel.program import Fault, compiled
from activityctl.domain.cel.static_type import (
    ANY_TYPE,
    CelKinds,
    StaticType,
    as_compared,
    closed_map,
    type_of_kind,
)
from activityctl.domain.cel.templates import TemplateExpression, template_parts
from activityctl.domain.cel.tree import (
    Call,
    Comprehension,
    Constant,
    Identifier,
    ListLiteral,
    MapLiteral,
    Node,
    Select,
    Tree,
    read_tree,
)
from activityctl.domain.values.model import JsonValue

StaticScope = Mapping[str, StaticType]
"""The static type of each name that is available in a place; other names are not."""

CONDITION: Final[CelKinds] = frozenset({"bool"})
LIST: Final[CelKinds] = frozenset({"list"})

WantedKinds = Callable[[tuple[str | int, ...]], CelKinds]
"""Returns the kinds that a place of a template takes; an empty set means any kind."""


def any_kind(_path: tuple[str | int, ...]) -> CelKinds:
    """Return the kinds of a place that takes any value."""
    return frozenset()


_HYPHENATED: Final = re.compile(r"\w+(?:-\w+)+")


def check_meaning(
    source: str, scope: StaticScope, wanted: CelKinds = frozenset()
) -> list[ExpressionProblem]:
    """Return the problems that an expression has for any data.

    `wanted` are the kinds that its value may have; empty means any kind.
    """
    if (problem := check_expression(source, scope)) is not None:
        return [problem]
    if (tree := _tree(source)) is None:
        return []
    checker = _Checker(source, tree, scope)
    kinds = checker.visit(tree.root, {}).kinds
    problems = dict.fromkeys(checker.subtractions or checker.problems)
    if not problems and wanted and kinds and not kinds & wanted:
        reason = f"the result is {describe_kinds(kinds)}, not {describe_kinds(wanted)}"
        return [ExpressionProblem(0, reason)]
    return list(problems)


def static_kinds(source: str, scope: StaticScope) -> CelKinds:
    """Return the kinds that the value may have; empty if nothing is known or it has problems."""
    if check_expression(source, scope) is not None or (tree := _tree(source)) is None:
        return frozenset()
    return _Checker(source, tree, scope).visit(tree.root, {}).kinds


def check_template_meaning(
    template: JsonValue, scope: StaticScope, wanted: WantedKinds = any_kind
) -> list[TemplateProblem]:
    """Return the problems of the expressions in a template.

    `wanted` returns the kinds that the value of a whole `${ … }` may have, by its path.
    """
    problems = check_template(template, scope)
    positions = {(problem.path, problem.offset) for problem in problems}
    for path, expression, is_whole in _expressions(template, ()):
        kinds = wanted(path) if is_whole else frozenset()
        for found in check_meaning(expression.source, scope, kinds):
            offset = expression.offset + found.offset
            if (path, offset) not in positions:
                problems.append(TemplateProblem(path, offset, found.reason))
    return problems


def _expressions(
    template: JsonValue, path: tuple[str | int, ...]
) -> "list[tuple[tuple[str | int, ...], TemplateExpression, bool]]":
    match template:
        case str() if "${" in template:
            parts = template_parts(template)
            is_whole = len(parts) == 1
            return [
                (path, part, is_whole) for part in parts if isinstance(part, TemplateExpression)
            ]
        case Mapping():
            children = [(key, value) for key, value in template.items()]
        case list() | tuple():
            children = list(enumerate(template))
        case _:
            return []
    return [found for key, value in children for found in _expressions(value, (*path, key))]


@functools.lru_cache(maxsize=1024)
def _tree(source: str) -> Tree | None:
    program = compiled(source)
    return None if isinstance(program, Fault) else read_tree(program.compiled.serialize())


class _Checker:
    """Walks a tree once; `visit` returns the static type of a node."""

    def __init__(self, source: str, tree: Tree, scope: StaticScope) -> None:
        self.problems: list[ExpressionProblem] = []
        self.subtractions: list[ExpressionProblem] = []
        """Names with hyphens that CEL reads as subtractions; if any, only they are reported."""
        self._source = source
        self._compared = as_compared(source)
        self._tree = tree
        self._scope = scope

    def visit(  # noqa: PLR0911 - one return per kind of node
        self, node: Node, variables: Mapping[str, StaticType]
    ) -> StaticType:
        match node:
            case Constant():
                return type_of_kind(*_kinds_of_constant(node))
            case Identifier():
                return variables.get(node.name) or self._scope.get(node.name, ANY_TYPE)
            case Select():
                return self._field(node, variables)
            case Call():
                return self._call(node, variables)
            case ListLiteral():
                known = [self.visit(item, variables) for item in node.items]
                return StaticType(frozenset({"list"}), items=_either(known))
            case MapLiteral():
                return self._entries(node, variables)
            case Comprehension():
                return self._loop(node, variables)
            case _:
                assert_never(node)

    def _entries(self, node: MapLiteral, variables: Mapping[str, StaticType]) -> StaticType:
        """Return the static type of a map literal; it is closed if all keys are string literals."""
        known = [self.visit(part, variables) for part in node.parts]
        keys, values = node.parts[::2], known[1::2]
        if not all(isinstance(key, Constant) and key.kind == "string" for key in keys):
            return type_of_kind("map")
        texts = [key.text for key in keys if isinstance(key, Constant)]
        return closed_map(dict(zip(texts, values, strict=True)))

    def _refuse(self, offset: int, reason: str) -> None:
        self.problems.append(ExpressionProblem(offset, reason))

    def _at(self, node: Node) -> int:
        return self._tree.positions.get(node.id, 0)

    def _field(self, node: Select, variables: Mapping[str, StaticType]) -> StaticType:
        of = self.visit(node.of, variables)
        offset = self._field_offset(node)
        if of.kinds and "map" not in of.kinds:
            reason = (
                f"{_shown(node.of)} is {describe_kinds(of.kinds)}; it has no field `{node.field}`"
            )
            self._refuse(offset, reason)
            return ANY_TYPE
        found = self._entry(of, node.of, node.field, offset)
        return type_of_kind("bool") if node.is_has else found

    def _field_offset(self, node: Select) -> int:
        """Return the offset of the field's name; of `has` the tree only has its operand's."""
        start = self._at(node.of) if node.is_has else self._at(node)
        found = re.compile(rf"\.\s*`?({re.escape(node.field)})").search(self._source, start)
        return found.start(1) if found else start

    def _entry(self, of: StaticType, node: Node, name: str, offset: int) -> StaticType:
        """Return the static type of a map's entry; an entry that cannot exist is a problem."""
        if of.unsure and not any(guard in self._compared for guard in of.guards):
            self._refuse(offset, of.unsure)
        if not of.cannot_have(name):
            return of.fields.get(name, ANY_TYPE)
        if hint := self._hyphen_hint(node, offset, of):
            self.subtractions.append(ExpressionProblem(offset, hint))
        elif name in of.absent:
            self._refuse(offset, of.absent[name])
        else:
            self._refuse(offset, f"{_shown(node)} has no `{name}`; {_name_hint(name, of)}")
        return ANY_TYPE

    def _hyphen_hint(self, node: Node, offset: int, of: StaticType) -> str:
        """Return the hint for a name with hyphens that CEL reads as a subtraction, else ''."""
        found = _HYPHENATED.match(self._source, offset)
        name = found[0] if found else ""
        while "-" in name:
            if name in of.fields or name in of.absent:
                return f"a name with a hyphen goes in brackets: {_path(node)}['{name}']"
            name = name.rpartition("-")[0]
        return ""

    def _call(self, node: Call, variables: Mapping[str, StaticType]) -> StaticType:
        known = [self.visit(part, variables) for part in node.arguments]
        match node.function, node.arguments, known:
            case "_[_]", (of, key), _:
                return self._item(node, of, key, known)
            case "_?_:_", _, (condition, then, otherwise):
                if condition.kinds and "bool" not in condition.kinds:
                    self._refuse(self._at(node), "the condition before `?` is not a bool")
                return _either([then, otherwise])
            case ("@in", _, (_, whole)):
                self._require_kinds(node, known, whole, {"list", "map"})
        if node.function in LOGIC:
            for part in known:
                self._require_kinds(node, known, part, {"bool"})
        elif node.function in EQUALITY:
            self._check_equality(node, known[0].kinds, known[1].kinds)
        elif node.function in RESULTS and len(known) > 1:
            return self._operation(node, known, variables)
        kind = self._tree.kinds.get(node.id)
        return type_of_kind(kind) if kind else ANY_TYPE

    def _item(self, node: Call, of: Node, key: Node, known: Sequence[StaticType]) -> StaticType:
        whole, index = known
        is_list = "list" in whole.kinds and (not index.kinds or index.kinds & {*NUMBERS})
        if whole.kinds and not is_list and "map" not in whole.kinds:
            self._refuse(
                self._at(node), operator_mismatch(node.function, [whole.kinds, index.kinds])
            )
            return ANY_TYPE
        if isinstance(key, Constant) and key.kind == "string":
            return self._entry(whole, of, key.text, self._at(key))
        return (whole.items or ANY_TYPE) if whole.kinds == {"list"} else ANY_TYPE

    def _require_kinds(
        self, node: Call, known: Sequence[StaticType], part: StaticType, kinds: set[str]
    ) -> None:
        if part.kinds and not part.kinds & kinds:
            operands = [operand.kinds for operand in known]
            self._refuse(self._at(node), operator_mismatch(node.function, operands))

    def _check_equality(self, node: Call, left: CelKinds, right: CelKinds) -> None:
        if are_never_equal(left, right):
            answer = "false" if node.function == "_==_" else "true"
            sides = f"{describe_kinds(left)} and {describe_kinds(right)}"
            self._refuse(self._at(node), f"{sides} are never equal; this is always {answer}")

    def _operation(
        self, node: Call, known: Sequence[StaticType], variables: Mapping[str, StaticType]
    ) -> StaticType:
        left, right = known
        if (kinds := results(node.function, left.kinds, right.kinds)) is not None:
            return StaticType(kinds)
        first = node.arguments[0]
        if node.function == "_-_" and isinstance(first, Select):
            of, offset = self._type_of(first.of, variables), self._field_offset(first)
            if hint := self._hyphen_hint(first.of, offset, of):
                self.subtractions.append(ExpressionProblem(offset, hint))
                return ANY_TYPE
        self._refuse(self._at(node), operator_mismatch(node.function, [left.kinds, right.kinds]))
        return ANY_TYPE

    def _type_of(self, node: Node, variables: Mapping[str, StaticType]) -> StaticType:
        """Return the static type of a node that was visited before, without reporting again."""
        return _Checker(self._source, self._tree, self._scope).visit(node, variables)

    def _loop(self, node: Comprehension, variables: Mapping[str, StaticType]) -> StaticType:
        over = self.visit(node.over, variables)
        if over.kinds and not over.kinds & {"list", "map"}:
            self._refuse(self._at(node.over), "only lists and maps can be iterated over")
        is_list = over.kinds == {"list"} and len(node.variables) == 1
        item = (over.items or ANY_TYPE) if is_list else ANY_TYPE
        begin = self.visit(node.begin, variables)
        inner = {
            **variables,
            **dict.fromkeys(node.variables, item),
            node.accumulator: StaticType(begin.kinds),
        }
        self.visit(node.condition, inner)
        self.visit(node.step, inner)
        return StaticType(self.visit(node.result, inner).kinds)


def _kinds_of_constant(node: Constant) -> tuple[str, ...]:
    """Return the kinds of a literal; a string of digits may be an integer too big for CEL."""
    is_big = node.text.isdecimal() and int(node.text[:1000]) >= 2**63
    return (node.kind, "int") if is_big else (node.kind,)


def _either(known: Sequence[StaticType]) -> StaticType:
    """Return the static type of a value that has one of these types."""
    if not known or not all(static_type.kinds for static_type in known):
        return ANY_TYPE
    return StaticType(frozenset().union(*(static_type.kinds for static_type in known)))


def _name_hint(name: str, of: StaticType) -> str:
    near = difflib.get_close_matches(name, of.fields, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return of.note or f"it has {', '.join(sorted(of.fields)) or 'no fields'}"


def _shown(node: Node) -> str:
    """Return the path that a node reads, in backticks."""
    path = _path(node)
    return path if " " in path else f"`{path}`"


def _path(node: Node) -> str:
    match node:
        case Identifier():
            return node.name
        case Select():
            return f"{_path(node.of)}.{node.field}"
        case Call(function="_[_]", arguments=(of, Constant(kind="string") as key)):
            return f"{_path(of)}['{key.text}']"
        case Call(function="_[_]", arguments=(of, _)):
            return f"{_path(of)}[…]"
        case Constant() | Call() | ListLiteral() | MapLiteral() | Comprehension():
            return "this value"
        case _:
            assert_never(node)
