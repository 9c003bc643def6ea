"""An executor registers itself by its signature, as `POST /v1/config` of the Builder Kit says."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from keyring.backends import fail

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.adapters.manifests.manifests import YamlManifests
from activityctl.adapters.memory.ports import memory_ports
from activityctl.cli.render.output import to_yaml
from activityctl.domain.chain.config_signature import config_digest
from activityctl.domain.chain.hook_log import hook_entry
from activityctl.domain.chain.hook_outcome import SKIPPED
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.signatures import ORDER, address_of, sign_digest
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import Wanted, live_document
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.values.log import LogEntry
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError, UsageError
from activityctl.operations.gitops.history import delete
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.kit.logs import subscription_logs
from activityctl.operations.kit.register import Registered, read_config, register_executor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRIVATE = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
SIGNER = address_of(PRIVATE)
URL = "https://executor.com"
PLUGIN = "0xb92929d03768a4f8d69552e15a8071eafee73df9"
TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ORIGIN = Origin(command="register", actor="ada")


def signed(url: str = URL, *, verify: bool = True, action: str = "CREATE") -> str:
    return sign_digest(PRIVATE, config_digest(url, verify_payload=verify, action=action))


def a_request(**changes: Any) -> dict[str, Any]:
    """Return the request of the text, signed."""
    whole = {
        "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
        "source": {"type": "INTERVAL", "value": 30},
        "destination": {"baseURL": URL},
        "verifyPayload": True,
        "relayerCount": 1,
        "signature": signed(),
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyStores:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    return KeyStores(tmp_path / "home")


@pytest.fixture
def register(ports: wiring.Ports, keys: KeyStores):
    async def call(**changes: Any) -> Registered:
        request = read_config(a_request(**changes))
        kinds = wiring.known_kinds()
        return await register_executor(
            request, ports.catalog, keys, kinds, lambda: NOW, origin=ORIGIN
        )

    return call


async def spec_of(ports: wiring.Ports, name: str) -> dict[str, Any]:
    present = await ports.catalog.present()
    return json.loads(json.dumps(present.definitions[name].document))["spec"]


async def test_what_is_registered_is_an_ordinary_definition_in_a_set_of_its_own(
    ports: wiring.Ports, keys: KeyStores, register
):
    made = await register(relayerCount=2)
    answer = made.view
    assert list(answer) == [
        "id",
        "registryID",
        "executorAddress",
        "verifyingAddress",
        "hmacKey",
        "relayerAddress",
    ]
    assert made.name == f"config-{uuid.UUID(answer['id'])}"
    assert answer["registryID"] == "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f"
    assert answer["executorAddress"] == SIGNER
    assert answer["verifyingAddress"] is None, "payloads are attested by the HMAC key alone"
    assert answer["hmacKey"] == (await keys.read(made.name, KeyKind.HMAC)).current.secret
    known = {key.name: key for key in keys.known()}
    relayers = [known[f"{made.name}-relayer-{number}"] for number in (1, 2)]
    assert answer["relayerAddress"] == [key.current.public for key in relayers]
    assert len(known) == 3
    spec = await spec_of(ports, made.name)
    assert spec["triggers"] == [{"name": "tick", "interval": {"every": "30m"}}]
    (task,) = spec["tasks"]
    assert task["webhook"] == {
        "baseURL": URL,
        "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
        "executorAddress": SIGNER,
        "hmacKey": made.name,
        "verifyPayload": True,
    }
    present = await ports.catalog.present()
    assert present.definitions[made.name].applyset == made.name
    (change,) = await ports.catalog.history("ActivityDefinition", made.name, limit=5)
    assert (change.origin.actor, change.origin.command) == ("ada", "register")
    assert answer["hmacKey"] not in repr(present)


async def test_its_yaml_moves_into_git_unchanged(ports: wiring.Ports, register, tmp_path: Path):
    made = await register(plugin=PLUGIN, policy={"targets": [PLUGIN]}, autosign=True)
    present = await ports.catalog.present()
    file = tmp_path / "moved.yaml"
    file.write_text(to_yaml(present.definitions[made.name].document), "utf-8")
    manifests = load_manifests(YamlManifests(), [str(file)], wiring.known_kinds(), recursive=False)
    assert plan_changes(Wanted(manifests.definitions, {}, made.name), present).is_empty
    (change,) = plan_changes(
        Wanted(manifests.definitions, {}, "in-git", take_over=True), present
    ).changes
    assert [field.path for field in change.fields] == ["applyset"], "it only moves"


async def test_a_signed_request_is_good_for_once(ports: wiring.Ports, keys: KeyStores, register):
    first = await register()
    before = (await keys.read(first.name, KeyKind.HMAC)).current.secret
    for changes in ({}, {"registryID": "other"}, {"source": {"type": "INTERVAL", "value": 5}}):
        with pytest.raises(ConflictError, match=r"has registered https://executor\.com before"):
            await register(**changes)
    assert (await keys.read(first.name, KeyKind.HMAC)).current.secret == before
    await delete(ports.catalog, "ActivityDefinition", first.name, lambda: NOW, ORIGIN)
    with pytest.raises(ConflictError):
        await register()
    other = await register(
        destination={"baseURL": f"{URL}/b"}, signature=signed(f"{URL}/b"), executorAddress=SIGNER
    )
    assert other.name != first.name


async def test_keys_that_a_crash_has_left_are_made_anew(keys: KeyStores, register):
    elsewhere = memory_ports()
    request, kinds = read_config(a_request()), wiring.known_kinds()
    first = await register_executor(
        request, elsewhere.catalog, keys, kinds, lambda: NOW, origin=ORIGIN
    )
    again = await register()  # the database knows nothing of the first time
    assert again.name == first.name
    assert again.view["hmacKey"] != first.view["hmacKey"]
    assert len(keys.known()) == 2


async def test_autosign_answers_the_new_address_and_relays_with_a_plugin(
    ports: wiring.Ports, keys: KeyStores, register
):
    made = await register(
        autosign=True,
        plugin=PLUGIN,
        policy={"targets": [PLUGIN]},
        fields="audited-7",
        confirmations=2,
        relayerCount=2,
    )
    new = keys.one(f"{made.name}-executor").current.public
    assert made.view["executorAddress"] == new != SIGNER
    (task,) = (await spec_of(ports, made.name))["tasks"]
    body = task["webhook"]
    assert (body["executorAddress"], body["autosign"]) == (new, f"{made.name}-executor")
    assert (body["plugin"], body["fields"]) == (PLUGIN, "audited-7")
    assert body["relay"] == {
        "relayers": [f"{made.name}-relayer-1", f"{made.name}-relayer-2"],
        "confirmations": 2,
    }


@pytest.mark.parametrize("ports", ["memory"], indirect=True)
@pytest.mark.parametrize(
    ("source", "trigger"),
    [
        ({"type": "INTERVAL", "value": 30}, {"interval": {"every": "30m"}}),
        ({"type": "INTERVAL", "value": 0.5}, {"interval": {"every": "30s"}}),
        ({"type": "INTERVAL", "value": "30s"}, {"interval": {"every": "30s"}}),
        ({"type": "INTERVAL", "value": 1440}, {"interval": {"every": "1d"}}),
        (
            {
                "type": "FILTER",
                "value": {
                    "chainId": 1,
                    "address": PLUGIN,
                    "topics": [TOPIC, None, [TOPIC]],
                    "fromBlock": "latest",
                },
            },
            {
                "chain": {
                    "chainId": 1,
                    "address": PLUGIN,
                    "topics": [TOPIC, None, [TOPIC]],
                    "fromBlock": "latest",
                }
            },
        ),
        (
            {"type": "FILTER", "value": {"chainId": 1, "address": [PLUGIN], "fromBlock": "0x10"}},
            {"chain": {"chainId": 1, "address": [PLUGIN], "fromBlock": 16}},
        ),
    ],
    ids=str,
)
async def test_numbers_are_minutes_texts_have_units_and_filters_become_chain_triggers(
    ports: wiring.Ports, register, source: dict[str, Any], trigger: dict[str, Any]
):
    made = await register(source=source)
    (found,) = (await spec_of(ports, made.name))["triggers"]
    assert {key: value for key, value in found.items() if key != "name"} == trigger


def flipped(signature: str) -> str:
    """Return the other, malleable text of a signature."""
    raw = bytes.fromhex(signature[2:])
    s = ORDER - int.from_bytes(raw[32:64])
    return "0x" + (raw[:32] + s.to_bytes(32) + bytes([55 - raw[64]])).hex()


@pytest.mark.parametrize("ports", ["memory"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signature": "0x"}, "signature: the signature is empty"),
        ({"signature": signed()[:-2]}, "has 64 bytes, not 65"),
        ({"signature": flipped(signed())}, "upper half of the order"),
        ({"signature": signed()[:-2] + "01"}, "v of the signature is 1"),
        ({"signature": signed(action="DELETE"), "executorAddress": SIGNER}, "is not of"),
        ({"verifyPayload": False, "executorAddress": SIGNER}, "is not of"),
        ({"signature": signed("https://other.com"), "executorAddress": SIGNER}, "is not of"),
        ({"executorAddress": PLUGIN}, "is not of"),
        ({"signature": ...}, "signature: required field is missing"),
        ({"registryID": ""}, "registryID: "),
        ({"verifyPayload": "yes"}, "verifyPayload: should be a valid boolean"),
        ({"relayerCount": 0}, "relayerCount: should be greater than or equal to 1"),
        ({"relayerCount": 21}, "relayerCount: should be less than or equal to 20"),
        ({"destination": {"baseURL": "http://executor.com"}}, "should be an https URL"),
        ({"destination": {"baseURL": "https://"}}, "should be an https URL"),
        ({"destination": {}}, "destination.baseURL: required field is missing"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"source": {"type": "CRON", "value": 1}}, "source.type"),
        ({"source": {"type": "INTERVAL", "value": 0}}, "source.value: should be more than 0"),
        ({"source": {"type": "INTERVAL", "value": True}}, "minutes as a number"),
        ({"source": {"type": "INTERVAL", "value": "soon"}}, "source.value"),
        ({"source": {"type": "FILTER", "value": 5}}, "an eth filter query"),
        ({"source": {"type": "FILTER", "value": {"chainId": 1}}}, "names no logs"),
        ({"source": {"type": "FILTER", "value": {"chainId": 0}}}, "source.value.chainId: "),
        (
            {"source": {"type": "FILTER", "value": {"chainId": 1, "topics": ["0x12"]}}},
            "source.value.topics",
        ),
        (
            {"source": {"type": "FILTER", "value": {"chainId": 1, "address": "${ 1 }"}}},
            "source.value.address",
        ),
        ({"source": {"type": "INTERVAL", "value": "1ms"}}, "source.value: "),
        (
            {"source": {"type": "FILTER", "value": {"chainId": 1, "toBlock": "0x1"}}},
            "a filter has no end",
        ),
        ({"policy": {"targets": 5}, "plugin": PLUGIN}, "policy.targets"),
        ({"plugin": PLUGIN}, "plugin: has no effect without policy"),
    ],
    ids=str,
)
async def test_a_wrong_request_is_refused_and_leaves_nothing(
    ports: wiring.Ports, keys: KeyStores, register, changes: dict[str, Any], reason: str
):
    if "verifyPayload" in changes and "executorAddress" not in changes:
        changes = {**changes, "signature": signed()}
    with pytest.raises(InvalidInputError) as raised:
        await register(**changes)
    assert reason in str(raised.value)
    assert keys.known() == []
    assert (await ports.catalog.present()).definitions == {}


async def test_a_config_that_cannot_be_stored_leaves_no_keys(
    ports: wiring.Ports, keys: KeyStores, register, monkeypatch: pytest.MonkeyPatch
):
    async def fails(*_: object) -> None:
        raise NotFoundError("disk", "full")

    monkeypatch.setattr(type(ports.catalog), "write", fails)
    with pytest.raises(NotFoundError):
        await register()
    assert keys.known() == []


async def test_a_subscription_of_it_is_ordinary_and_ends_with_its_deletion(
    ports: wiring.Ports, register, apply, subscribe, remove
):
    account = {"chainId": 7, "subAccountAddress": PLUGIN}
    watched = {"chainId": 7, "address": PLUGIN}
    made = await register(source={"type": "FILTER", "value": watched})
    await apply(subscribe("mine", made.name, account=account))
    mine = await ports.catalog.find_subscription("mine")
    assert live_document(mine)["spec"]["account"]["subAccountAddress"] == PLUGIN
    assert list((await ports.chains.state()).wanted) == [(mine.id, "log")]
    await remove("mine")
    assert (await ports.chains.state()).wanted == {}


async def test_logs_have_the_shape_of_the_text_newest_first(ports: wiring.Ports, mine):
    def entry(number: int) -> LogEntry:
        params = {"subAccountAddress": PLUGIN, "chainID": 8453}
        return hook_entry(
            subscription_id=mine.id,
            run_id="run",
            task="execute",
            request={"requestID": f"r-{number}", "params": params},
            response=json.dumps({"skip": True}),
            executed_response=json.dumps({"log": {"n": number}}),
            outcome=SKIPPED,
            at=NOW + timedelta(seconds=number),
        )

    other = LogEntry(mine.id, None, "trigger", "info", NOW, {})
    await ports.logbook.append([entry(1), other, entry(2), entry(3)])
    page = await subscription_logs(ports.catalog, ports.hooks, "mine", offset=1, limit=1)
    (found,) = page["data"]
    assert isinstance(found["id"], str)
    assert found | {"id": "abcdef"} == {
        "metadata": {
            "postExecutionState": {"n": 2},
            "request": {
                "requestID": "r-2",
                "params": {"subAccountAddress": PLUGIN, "chainID": 8453},
            },
            "response": {"skip": True},
        },
        "message": "trigger",
        "createdAt": "2026-01-01T00:00:02.000Z",
        "subAccountAddress": PLUGIN,
        "chainId": 8453,
        "id": "abcdef",
        "subId": mine.id,
        "outputTxHash": "0x" + 64 * "0",
    }
    whole = await subscription_logs(ports.catalog, ports.hooks, mine.id)
    states = [each["metadata"]["postExecutionState"]["n"] for each in whole["data"]]
    assert states == [3, 2, 1]
    assert (await subscription_logs(ports.catalog, ports.hooks, "mine", offset=9))["data"] == []
    for bad in ({"offset": -1}, {"limit": 0}, {"limit": 1_001}):
        with pytest.raises(UsageError):
            await subscription_logs(ports.catalog, ports.hooks, "mine", **bad)
    with pytest.raises(NotFoundError):
        await subscription_logs(ports.catalog, ports.hooks, "nobody")
