"""Creates what the tasks and expressions of runs need: executors, sources, evaluators."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from activityctl.domain.cel.evaluator import evaluating_with
from activityctl.domain.chain.simulation import Simulated
from activityctl.ports import (
    Chains,
    ContextSource,
    Executor,
    HookSender,
    KeyReader,
    NoSpans,
    SpanSink,
)
from activityctl.settings import Settings
from activityctl.wiring.ports import Ports
from activityctl.wiring.secrets import open_keys
from activityctl.wiring.signer import open_signer

if TYPE_CHECKING:
    import httpx

    from activityctl.adapters.evaluator.pool import EvaluatorPool
    from activityctl.domain.manifests.checks import Kinds
    from activityctl.executors.hook_client import HookClient
    from activityctl.executors.http_client import HttpClient
    from activityctl.operations.looking.simulated_trigger import SimulatedCase

_LOG = logging.getLogger(__name__)
Executors = Mapping[str, Executor]
_CALLS_OF_TASKS = 100
_SIGNER_SECONDS = 15.0
"""How long a worker waits for a signer that is just being started."""
_CALLS_OF_SOURCES = 300
"""As many as a worker looks up contexts at once, so that none waits for another."""


def known_kinds() -> "Kinds":
    """Return every kind of task and context source that this installation knows."""
    from activityctl.executors.registry import known_kinds as known

    return known()


@asynccontextmanager
async def open_executors(
    settings: Settings, ports: Ports, keys: KeyReader, chains: Chains
) -> AsyncIterator[Executors]:
    """Create the executors of all task kinds, limited by the settings; close them at exit."""
    from activityctl.adapters.daemon_ports import DaemonPorts
    from activityctl.adapters.sql.client import DatabaseClient
    from activityctl.executors.ai import AiExecutor
    from activityctl.executors.code import CodeExecutor
    from activityctl.executors.command import CommandExecutor
    from activityctl.executors.email import EmailExecutor
    from activityctl.executors.emit import EmitExecutor
    from activityctl.executors.executor_signatures import ExecutorSignatures
    from activityctl.executors.http import HttpExecutor
    from activityctl.executors.python import PythonExecutor
    from activityctl.executors.registry import added_task_kinds
    from activityctl.executors.relays.passage import RelayPorts
    from activityctl.executors.relays.relayer import Relayer
    from activityctl.executors.sql import SqlExecutor
    from activityctl.executors.trigger_steps import TriggerSteps
    from activityctl.executors.webhook import WebhookExecutor

    hooks = hook_client(settings)
    signer = open_signer(settings, patience=_SIGNER_SECONDS)
    steps = TriggerSteps(
        ports.runs,
        ports.hooks,
        ports.spends,
        ExecutorSignatures(chains, signer),
        relay=Relayer(RelayPorts(chains, signer, ports.relays), hooks),
    )
    built: dict[str, Executor] = {name: kind() for name, kind in added_task_kinds().items()}
    built["ai"] = AiExecutor(_model_transport(settings))
    built["code"] = CodeExecutor()
    built["command"] = CommandExecutor(
        allowed=settings.allow_commands, base_environment=settings.task_environment
    )
    built["email"] = EmailExecutor(
        allow_plain=settings.allow_http,
        allowed_networks=settings.allowed_networks,
        own_ports=settings.own_ports,
        listening=DaemonPorts(settings.home).listening,
    )
    built["emit"] = EmitExecutor(ports.events, ports.runs)
    built["http"] = HttpExecutor(_http_client(settings, at_once=_CALLS_OF_TASKS))
    built["python"] = PythonExecutor(
        ports.runs,
        any_class=settings.allow_commands,
        base_environment=settings.task_environment,
        steps=steps,
    )
    built["sql"] = SqlExecutor(DatabaseClient())
    built["webhook"] = WebhookExecutor(hooks, keys, steps)
    try:
        yield built
    finally:
        for executor in built.values():
            await executor.close()


@contextmanager
def open_spans(settings: Settings) -> Iterator[SpanSink]:
    """Return what exports spans, if the environment names an endpoint; else what drops them."""
    if not settings.exports_traces:
        yield NoSpans()
        return
    from activityctl.adapters.otlp import OtlpSpans

    try:
        spans = OtlpSpans()
    except ImportError:
        _LOG.warning("traces are not exported: install activityctl[otel] where the worker runs")
        yield NoSpans()
        return
    try:
        yield spans
    finally:
        spans.close()


@asynccontextmanager
async def open_sources(
    settings: Settings, ports: Ports
) -> AsyncIterator[Mapping[str, ContextSource]]:
    """Create every context source, limited by the settings; close them at exit."""
    from activityctl.adapters.sql.client import DatabaseClient
    from activityctl.executors.env import EnvSource
    from activityctl.executors.events import EventsSource
    from activityctl.executors.file import FileSource
    from activityctl.executors.http import HttpSource
    from activityctl.executors.local_file import AllowedFolders
    from activityctl.executors.registry import added_context_kinds
    from activityctl.executors.runs import RunsSource
    from activityctl.executors.sql import SqlSource
    from activityctl.executors.state import StateSource

    built: dict[str, ContextSource] = {name: kind() for name, kind in added_context_kinds().items()}
    client = _http_client(settings, at_once=_CALLS_OF_SOURCES)
    built["env"] = EnvSource(settings.context_variables)
    built["events"] = EventsSource(ports.archive)
    built["file"] = FileSource(AllowedFolders(settings.allowed_folders))
    built["http"] = HttpSource(client)
    built["runs"] = RunsSource(ports.runs)
    built["sql"] = SqlSource(DatabaseClient())
    built["state"] = StateSource(ports.catalog)
    try:
        yield built
    finally:
        await client.close()


def hook_client(settings: Settings) -> "HookClient":
    """Return what posts hooks to the addresses that the settings allow."""
    from activityctl.adapters.daemon_ports import DaemonPorts
    from activityctl.executors.hook_client import HookClient

    return HookClient(
        allow_http=settings.allow_http,
        allowed_networks=settings.allowed_networks,
        own_ports=frozenset(settings.own_ports),
        listening=DaemonPorts(settings.home).listening,
    )


def unguarded_hook_client() -> HookSender:
    """Return what posts hooks wherever the person at the terminal wants, also to this machine."""
    from ipaddress import ip_network

    from activityctl.executors.hook_client import HookClient

    everywhere = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    return HookClient(allow_http=True, allowed_networks=everywhere)


async def simulate(
    settings: Settings,
    ports: Ports,
    case: "SimulatedCase",
    chains: Chains | None,
    *,
    response: bytes | None = None,
    ask_seconds: float | None = None,
) -> Simulated:
    """Return what a trigger would do; without `chains` none is asked.

    With `ask_seconds` the executor is asked for real, wherever it is, and has so long to answer.
    Else `response` is its answer, if there is one.
    """
    from activityctl.executors.simulated_task import simulated_task
    from activityctl.executors.simulation import Simulation

    task = await simulated_task(
        ports.hooks, case.owner, (case.task, case.body), case.trigger, open_keys(settings)
    )
    simulation = Simulation(task, ports.spends, chains)
    if ask_seconds is None:
        return await simulation.judged(response)
    sender = unguarded_hook_client()
    try:
        return await simulation.asked(sender, ask_seconds)
    finally:
        await sender.close()


def _model_transport(settings: Settings) -> "httpx.AsyncBaseTransport":
    from activityctl.adapters.daemon_ports import DaemonPorts
    from activityctl.domain.values.destination import DestinationPolicy
    from activityctl.executors.destination import GuardedTransport

    policy = DestinationPolicy(
        settings.allow_http, tuple(settings.allowed_networks), frozenset(settings.own_ports)
    )
    return GuardedTransport(policy, listening=DaemonPorts(settings.home).listening)


def _http_client(settings: Settings, *, at_once: int) -> "HttpClient":
    from activityctl.adapters.daemon_ports import DaemonPorts
    from activityctl.executors.http_client import HttpClient
    from activityctl.executors.local_file import AllowedFolders

    return HttpClient(
        allow_http=settings.allow_http,
        allowed_networks=settings.allowed_networks,
        own_api=settings.api_url,
        own_ports=settings.own_ports,
        listening=DaemonPorts(settings.home).listening,
        folders=AllowedFolders(settings.allowed_folders),
        at_once=at_once,
    )


def build_evaluators() -> "EvaluatorPool":
    """Return evaluator processes; each is started when it is first needed."""
    from activityctl.adapters.evaluator.pool import EvaluatorPool

    return EvaluatorPool()


@contextmanager
def evaluating() -> Iterator[None]:
    """Evaluate what may be much work in a process that can be stopped, within the block."""
    evaluators = build_evaluators()
    try:
        with evaluating_with(evaluators.session()):
            yield
    finally:
        evaluators.close()
