"""Which definitions use which key, also in groups; and which of them this machine has."""

import json
from datetime import UTC, datetime

from activityctl.cli.render.plan_text import plan_lines
from activityctl.domain.chain.keys import KeyKind, KeyVersion, KnownKey
from activityctl.domain.gitops.needed_keys import NeededKey, users_of_keys
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.values.known_secret import SecretStore
from activityctl.operations.looking.key_users import key_views

VERSION = KeyVersion(1, "0x", datetime(2026, 1, 1, tzinfo=UTC))


def spec(*keys: str, **fields: object) -> DefinitionSpec:
    body = {"baseURL": "https://e.example", "registryID": "r", "executorAddress": "0x" + 40 * "0"}
    tasks = [{"name": f"ask-{key}", "webhook": {**body, "hmacKey": key, **fields}} for key in keys]
    text = json.dumps({"tasks": [{"name": "group", "tasks": tasks}]})
    return DefinitionSpec.model_validate_json(text)


def test_the_keys_of_all_tasks_are_found():
    found = users_of_keys({"b": spec("one", "two"), "a": spec("one")})
    assert found == {
        NeededKey("one", KeyKind.HMAC): ["definition/a", "definition/b"],
        NeededKey("two", KeyKind.HMAC): ["definition/b"],
    }
    found = users_of_keys({"a": spec("one", autosign="me", relay={"relayers": ["r-1", "r-2"]})})
    assert [(key.name, key.kind.value) for key in found] == [
        ("me", "executor"),
        ("one", "hmac"),
        ("r-1", "relayer"),
        ("r-2", "relayer"),
    ]


def test_the_keys_of_a_strategy_that_makes_calls_are_found():
    body = {"strategy": "s", "autosign": "me", "relay": {"relayers": ["r-1"]}}
    calls = {**body, "executorAddress": "0x" + 40 * "0"}
    tasks = [{"name": "a", "python": calls}, {"name": "b", "python": {"strategy": "s"}}]
    spec = DefinitionSpec.model_validate_json(json.dumps({"tasks": tasks}))
    found = users_of_keys({"a": spec})
    assert [(key.name, key.kind.value) for key in found] == [("me", "executor"), ("r-1", "relayer")]


def test_a_plan_names_the_keys_that_this_machine_does_not_have():
    users = users_of_keys({"a": spec("one", "two"), "b": spec("three")})
    known = [
        KnownKey(name, kind, name, SecretStore.FILE, (VERSION,))
        for name, kind in (("one", KeyKind.HMAC), ("two", KeyKind.RELAYER))
    ]
    views = key_views(users, known)
    assert views[0] == {
        "name": "one",
        "kind": "hmac",
        "usedBy": ["definition/a"],
        "isFoundHere": True,
    }
    empty = {"changes": [], "schedules": [], "openRuns": [], "keys": views}
    assert [text for text, _ in plan_lines(empty)] == [
        "! keys that are missing on this machine; make or import them where the worker runs:",
        "    activityctl keys create three --kind hmac  (definition/b)",
        "    activityctl keys create two --kind hmac  (definition/a)",
    ]
    assert list(plan_lines({**empty, "keys": views[:1]})) == []
