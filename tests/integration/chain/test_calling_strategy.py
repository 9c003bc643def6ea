"""The call of a strategy, signed by the real signer and carried out on a real chain: once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from keyring.backends import fail

from activityctl.adapters.chain.nodes import open_nodes
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.adapters.keystore.local_signer import LocalSigner
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import TaskError
from activityctl.executors.executor_signatures import ExecutorSignatures
from activityctl.executors.python import PythonExecutor
from activityctl.executors.relays.passage import RelayPorts
from activityctl.executors.relays.relayer import Relayer
from activityctl.executors.trigger_steps import TriggerSteps
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.limited import parse_body
from support.anvil import Anvil
from support.calling import Cut, LostWorkerError, call_body
from support.commands import ENVIRONMENT, a_call
from support.relaying import Bench, OneChain, Plugin, call_data
from support.signing import EXECUTOR, NAME, OTHER, Triggers, make_keys

CHAIN = 31337
SAMPLES = Path(__file__).parents[2] / "sample_strategies"


@dataclass
class Worker:
    """A worker with the real strategy, signer, checks and relayer; each attempt is a new one."""

    bench: Bench
    notes: Path

    def body(self, target: str) -> dict[str, Any]:
        plugin = self.bench.plugin.address
        data = call_data("add(uint256)", 5).removeprefix("0x")
        return dict(
            call_body(
                str(self.notes),
                call={"to": plugin, "bytes": data},
                executorAddress=EXECUTOR,
                plugin=plugin,
                autosign="executor-1",
                policy={"targets": [target]},
                relay={"relayers": ["relayer-1"], "confirmations": 0},
            )
        )

    async def attempt(self, call: TaskCall, cut: tuple[str, bool] | None = None) -> ExecutorOutcome:
        ports, chains = self.bench.ports, OneChain(self.bench.nodes)
        signer = LocalSigner(self.bench.keys, ports.signing)
        relayer = Relayer(
            RelayPorts(chains, signer, ports.relays),
            None,  # type: ignore[arg-type]  # no service
            poll_seconds=0.02,
        )
        ledger = ports.hooks if cut is None else Cut(ports.hooks, *cut)
        signatures = ExecutorSignatures(chains, signer)
        steps = TriggerSteps(ports.runs, ledger, ports.spends, signatures, relay=relayer)
        executor = PythonExecutor(
            ports.runs, any_class=True, base_environment=ENVIRONMENT, steps=steps
        )
        try:
            body = parse_body(executor, self.body(self.bench.plugin.address))
            return await executor.execute(body, call)
        finally:
            await executor.close()


@pytest.fixture
async def worker(ports, chain: Anvil, tmp_path, monkeypatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    monkeypatch.setenv("PYTHONPATH", str(SAMPLES))
    keys = KeyStores(tmp_path / "home")
    await make_keys(keys)
    async with open_nodes(CHAIN, [chain.url]) as nodes:
        bench = Bench(ports, keys, Plugin(chain), nodes)
        bench.fund()
        yield Worker(bench, tmp_path / "notes")


async def begun(worker: Worker, target: str, key: str) -> TaskCall:
    """Apply the definition, whose policy allows this target, and return a task of a new run."""
    triggers = Triggers(worker.bench.ports)
    await triggers.apply_task({"python": worker.body(target)})
    task = await triggers.begun(key, "python")
    return replace(a_call(120.0), run_id=task.run_id, task_id=task.id, idempotency_key=task.id)


async def test_a_strategys_call_is_signed_by_policy_and_carried_out_once(worker: Worker):
    bench = worker.bench
    call = await begun(worker, bench.plugin.address, "a")
    # The worker is killed when the answer is kept, and again when the call is carried out.
    for cut in (("answered", True), ("decided", False)):
        with pytest.raises(LostWorkerError):
            await worker.attempt(call, cut)
    outcome = await worker.attempt(call)
    (sent,) = await bench.ports.relays.transactions(call.idempotency_key)
    assert (outcome.output["outcome"], outcome.output["transactionHash"]) == ("executed", sent.hash)
    assert bench.plugin.total == 5
    count = bench.plugin.chain.call("eth_getTransactionCount", bench.sender(), "latest")
    assert (int(count, 16), len(worker.notes.read_text().split())) == (1, 1)
    mine = await bench.ports.catalog.find_subscription(NAME)
    found, _ = await bench.ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=100)
    (entry,) = [each for each in found if each.message == "trigger"]
    assert entry.metadata["outputTxHash"] == sent.hash
    # The signer believes the definition alone, and not what a worker takes for the policy.
    call = await begun(worker, OTHER, "b")
    with pytest.raises(TaskError) as raised:
        await worker.attempt(call)
    assert (raised.value.task_code, raised.value.may_retry) == ("policy_refused", False)
    assert bench.plugin.total == 5
