"""Errors of the API name its parameters, those of the command line its options."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import activityctl
from activityctl.api import own_words as words
from activityctl.api.own_words import own_words, parameter_of
from support.api_server import Api

ROOT: Final = Path(activityctl.__file__).parent
NOT_OF_THE_CORE: Final = ROOT / "domain" / "bodies" / "interpreters.py"
"""It knows the options of other programs."""
ONLY_COMMANDS: Final = {
    "event": "`explain event` reads a file",
    "force": "`init` writes files",
    "from-block": "`explain event` reads chains with a range of blocks",
    "run": "`executor test` and `logs` name a run so; by HTTP it is in the path",
    "to-block": "as from-block",
}
"""Options that stand only in errors of operations which the API does not have."""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--take-over needs --applyset: it moves", "takeOver needs applyset: it moves"),
        ("--until 1h is before --since 2h", "until 1h is before since 2h"),
        ("-l cannot be used with audit", "label cannot be used with audit"),
        ("not a label: '--x'", "not a label: '--x'"),
        ('the "--since a" of -f', 'the "--since a" of files'),
        (
            "activityctl tokens create NAME --scope read",
            "activityctl tokens create NAME --scope read",
        ),
        ("use `get -l a=b`, or --status open", "use `get -l a=b`, or status open"),
        ("write -2h, a-b or x--y", "write -2h, a-b or x--y"),
    ],
)
def test_options_become_parameters_and_commands_stay(text: str, told: str):
    assert own_words(text) == told


def texts_of_the_core() -> Iterator[str]:
    """Yield every text of the domain and of the operations that is no docstring."""
    for room in ("domain", "operations"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if path == NOT_OF_THE_CORE:
                continue
            tree = ast.parse(path.read_text("utf-8"))
            statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
                if is_text and id(node) not in statements:
                    yield node.value  # type: ignore[attr-defined]  # it is a Constant


def names_in(value: Any) -> Iterator[str]:
    """Yield the names of all parameters and fields that a part of the description has."""
    if isinstance(value, dict):
        if isinstance(name := value.get("name"), str):
            yield name
        yield from value.get("properties") or ()
        for child in value.values():
            yield from names_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from names_in(child)


def test_each_option_in_a_text_of_the_core_is_a_parameter_of_the_api(api: Api):
    known = set(names_in(api.client.get("/v1/openapi.json").json()))
    found = set()
    for text in texts_of_the_core():
        rest = words._LEFT_ALONE.sub("", text)
        found |= {option[1] for option in words._OPTION.finditer(rest)}
    assert {"applyset", "since", "take-over"} <= found
    unknown = {option for option in found if parameter_of(option) not in known}
    assert unknown <= ONLY_COMMANDS.keys()


def test_the_api_speaks_of_parameters_and_to_the_command_line_of_options(api: Api):
    def told(path: str, **headers: str) -> str:
        answer = api.client.request("GET", path, headers=headers)
        assert answer.status_code == 400
        return str(answer.json()["detail"])

    path = "/v1/logs?since=1h&until=2h"
    assert told(path) == "until 2h is before since 1h"
    assert told(path, **{"User-Agent": "activityctl/1"}) == "--until 2h is before --since 1h"
    planned = api.client.post("/v1/manifests/plan?prune=true", json={"files": []}).json()
    assert planned["detail"].startswith("prune needs applyset")
    assert planned["hint"] == "add applyset NAME"
