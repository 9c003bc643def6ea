"""A definition whose calls a signer may sign, and triggers that its executor has answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eth_hash.auto import keccak

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.executable import (
    Executable,
    ExecutionContext,
    read_executable,
    sign_executable,
)
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.hook_payloads import request_id
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.plugin import execution_call
from activityctl.domain.chain.signatures import address_of
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.ports import ExecutionDraft, HookRow, TransactionDraft

EXECUTOR_KEY = keccak(b"executor")
EXECUTOR = address_of(EXECUTOR_KEY)
PLUGIN, OWNER, TOKEN, OTHER = (address_of(keccak(name)) for name in (b"p", b"o", b"t", b"x"))
NAME = "lender"
POLICY: Mapping[str, Any] = {
    "targets": [TOKEN],
    "tokens": {TOKEN: {"maxPerExecution": "10", "maxPerWindow": "25"}},
    "window": "1h",
    "maxGas": 500_000,
}
BODY: Mapping[str, Any] = {
    "baseURL": "https://executor.example",
    "registryID": "r",
    "executorAddress": EXECUTOR,
    "hmacKey": "hook",
    "plugin": PLUGIN,
    "policy": POLICY,
    "relay": {"relayers": ["relayer-1"], "maxFeePerGas": "1000"},
}


def transfer(amount: int, to: str = TOKEN) -> Executable:
    data = "0xa9059cbb" + bytes.fromhex(OTHER[2:]).rjust(32, b"\0").hex() + f"{amount:064x}"
    return read_executable({"callType": 0, "to": to, "value": "0", "data": data})


async def make_keys(keys: KeyStores) -> None:
    await keys.create("relayer-1", KeyKind.RELAYER)
    await keys.create("relayer-2", KeyKind.RELAYER)
    await keys.create("executor-1", KeyKind.EXECUTOR, EXECUTOR_KEY.hex())


@dataclass
class Triggers:
    """Makes triggers as a worker does, with the ports of one."""

    ports: wiring.Ports

    async def apply(self, account: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Apply the definition, whose task has these fields, and its subscription."""
        await self.apply_task({"webhook": {**BODY, **fields}}, account)

    async def apply_task(
        self, body: Mapping[str, Any], account: Mapping[str, Any] | None = None
    ) -> None:
        """Apply the definition with this task of any kind, and its subscription."""
        task = {"name": "lend", **body}
        named = {"metadata": {"name": NAME}}
        document = {**named, "spec": {"tasks": [task]}}
        definition = ActivityDefinition.model_validate_json(json.dumps(document))
        owner = {"chainId": 31337, "subAccountAddress": OWNER, **(account or {})}
        manifest = SubscriptionManifest.model_validate_json(
            json.dumps({**named, "spec": {"activity": NAME, "account": owner}})
        )
        catalog = self.ports.catalog
        async with catalog.changing():
            wanted = Wanted({NAME: definition}, {NAME: manifest})
            plan = plan_changes(wanted, await catalog.present())
            await catalog.write(plan, datetime.now(UTC))

    async def answered(
        self, key: str, call: Executable, nonce: int = 0, signature: str | None = None
    ) -> str:
        """Keep a trigger that the executor has answered with this call; return its key."""
        task = await self.begun(key)
        run_id, now = task.run_id, task.created_at
        mine = await self.ports.catalog.find_subscription(NAME)
        hook = HookRow(task.id, mine.id, run_id, request_id(task.id, now), {}, now)
        await self.ports.hooks.begin(hook)
        given = signed(call, nonce) if signature is None else signature
        response = {
            "skip": False,
            "task": {"executable": call.as_json(), "executorSignature": given},
        }
        await self.ports.hooks.answered(task.id, json.dumps(response), None, now)
        return task.id

    async def begun(self, key: str, kind: str = "webhook") -> TaskInstance:
        """Return the task of a new run."""
        mine = await self.ports.catalog.find_subscription(NAME)
        now = datetime.now(UTC)
        firing = FiringRequest(mine.id, "manual", key, now)
        facts = await self.ports.runs.admission_input(firing.ref)
        assert facts is not None
        run = Run(
            id=ids.run_id(mine.id, "manual", key),
            subscription_id=mine.id,
            subscription=mine.name,
            definition=mine.definition,
            revision_id=facts.revision.id,
            trigger="manual",
            firing_key=key,
            due_at=now,
            status=RunStatus.RUNNING,
            created_at=now,
            started_at=now,
        )
        task = TaskInstance(
            id=ids.task_id(run.id, "lend", 0),
            run_id=run.id,
            name="lend",
            index=0,
            phase="main",
            kind=kind,
            status=TaskStatus.RUNNING,
            created_at=now,
        )
        change = RunChange(run, create=(task,))
        assert await self.ports.runs.open(f"run/{mine.id}/manual/{key}", change)
        return task


def context(nonce: int = 0, **fields: Any) -> ExecutionContext:
    values = {"plugin": PLUGIN, "account": OWNER, "executor": EXECUTOR, "chain_id": 31337}
    return ExecutionContext(field_set=FieldSet.SDK_12, nonce=nonce, **{**values, **fields})


def signed(call: Executable, nonce: int = 0) -> str:
    return sign_executable(call, context(nonce), EXECUTOR_KEY)


def draft(key: str, call: Executable, signature: str | None = None, **fields: Any) -> Any:
    """Return the transaction that an honest worker drafts; `fields` make it another one."""
    given = signed(call) if signature is None else signature
    values = {
        "hook_key": key,
        "number": 1,
        "relayer": "relayer-1",
        "chain_id": 31337,
        "to": PLUGIN,
        "data": execution_call(call, OWNER, EXECUTOR, given),
        "gas": 200_000,
        "max_fee_wei": 100,
        "priority_fee_wei": 1,
        "chain_nonce": 0,
    }
    return TransactionDraft(**{**values, **fields})


def execution(hook: str, call: Executable, nonce: int = 0, **fields: Any) -> ExecutionDraft:
    name = fields.pop("key", "executor-1")
    return ExecutionDraft(hook, name, call, context(nonce, **fields))
