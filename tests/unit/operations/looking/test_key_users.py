"""Which definitions use which key, also in groups."""

import json

from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.operations.looking.key_users import KeyUse, users_of_keys


def spec(*keys: str) -> DefinitionSpec:
    body = {"baseURL": "https://e.example", "registryID": "r", "executorAddress": "0x" + 40 * "0"}
    tasks = [
        {"name": f"ask-{key}", "webhook": {**body, "hmacKey": key, "autosign": "auto"}}
        for key in keys
    ]
    text = json.dumps({"tasks": [{"name": "group", "tasks": tasks}]})
    return DefinitionSpec.model_validate_json(text)


def test_the_keys_of_all_tasks_are_found():
    found = users_of_keys({"b": spec("one", "two"), "a": spec("one")})
    assert found == {
        "auto": KeyUse(KeyKind.EXECUTOR, ("definition/a", "definition/b")),
        "one": KeyUse(KeyKind.HMAC, ("definition/a", "definition/b")),
        "two": KeyUse(KeyKind.HMAC, ("definition/b",)),
    }
