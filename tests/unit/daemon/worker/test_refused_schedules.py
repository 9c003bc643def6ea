"""An alarm that Temporal refuses keeps no others waiting, and is tried later and later."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.daemon.worker.drift_detector import DriftDetector
from activityctl.daemon.worker.reconciler import Reconciler
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values import ids
from activityctl.errors import RefusedError, UnreachableError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
COUNT = 40
BAD = "alarm/every 1h7s"


class Bench:
    """Forty subscriptions with an alarm each, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOW
        self.ports: MemoryPorts = memory_ports()
        self.client = self.ports.schedule_client
        maintenance = ScheduleMaintenance(
            self.ports.register, self.client, self.ports.logbook, lambda: self.now
        )
        self.reconciler = Reconciler(maintenance)
        self.drift_detector = DriftDetector(maintenance)

    async def apply(self, hours: int) -> None:
        spec = {
            "tasks": [{"name": "a", "say": {}}],
            "triggers": [{"name": "hourly", "interval": {"every": "1h"}}],
        }
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": {"name": "d"}, "spec": spec})
        )
        subscriptions = {
            f"s{number}": SubscriptionManifest.model_validate_json(
                json.dumps(
                    {
                        "metadata": {"name": f"s{number}"},
                        "spec": {
                            "activity": "d",
                            "triggers": {"hourly": {"interval": {"every": f"{hours}h{number}s"}}},
                        },
                    }
                )
            )
            for number in range(COUNT)
        }
        async with self.ports.catalog.changing():
            wanted = Wanted({"d": definition}, subscriptions)
            plan = plan_changes(wanted, await self.ports.catalog.present())
            await self.ports.catalog.write(plan, self.now)

    def tries(self) -> int:
        """Return how often the bad alarm was asked for, by counting reads of its error."""
        return Counting.reads


class Counting(dict[str, Exception]):
    """Errors by alarm that count how often the bad one was met."""

    reads = 0

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        Counting.reads += key == BAD
        return super().get(key, default)


@pytest.fixture
async def bench() -> Bench:
    Counting.reads = 0
    made = Bench()
    await made.apply(1)
    return made


async def test_a_refused_alarm_is_reconciled_later_and_later_until_it_changes(bench: Bench):
    bench.client.refused = Counting({BAD: RefusedError("the spec is invalid")})
    assert await bench.reconciler.reconcile() == COUNT - 1
    for _ in range(720):  # an hour of calls every 5 seconds
        bench.now += timedelta(seconds=5)
        assert await bench.reconciler.reconcile() == 0
    assert 12 <= bench.tries() <= 40
    (error,) = [error for _, error in await bench.ports.register.unsynced_errors(_all())]
    assert error == "the spec is invalid"
    bench.client.refused = {}
    await bench.apply(2)
    assert (
        await bench.reconciler.reconcile() == 2 * COUNT
    )  # the new ones, and the end of the old ones


async def test_an_outage_of_temporal_is_raised_and_does_not_slow_alarms(bench: Bench):
    bench.client.failure = UnreachableError("away")
    for _ in range(5):
        with pytest.raises(UnreachableError):
            await bench.reconciler.reconcile()
    bench.client.failure = None
    assert await bench.reconciler.reconcile() == COUNT


@pytest.mark.parametrize(
    "error", [RefusedError("no"), UnreachableError("slow"), ValueError("cannot be decoded")]
)
async def test_an_alarm_that_cannot_be_described_keeps_no_other_from_being_restored(
    bench: Bench, error: Exception
):
    await bench.reconciler.reconcile()
    gone = [key for key in list(bench.client.held) if key != BAD][:10]
    for key in gone:
        del bench.client.held[key]
    bench.client.refused = Counting({BAD: error})
    with pytest.raises(RefusedError, match=f"1 alarm could not be compared.*{BAD}"):
        await bench.drift_detector.detect_and_repair()
    assert len(bench.client.held) == COUNT
    for _ in range(60):  # an hour of rounds
        bench.now += timedelta(minutes=1)
        with pytest.raises(RefusedError):  # so that `status` goes on saying it
            await bench.drift_detector.detect_and_repair()
    assert 12 <= bench.tries() <= 40
    bench.client.refused = {}
    bench.now += timedelta(minutes=5)
    assert await bench.drift_detector.detect_and_repair() == 0


async def test_the_drift_detector_stops_when_temporal_answers_for_nothing(bench: Bench):
    await bench.reconciler.reconcile()
    bench.client.refused = dict.fromkeys(bench.client.held, UnreachableError("away"))
    with pytest.raises(UnreachableError):
        await bench.drift_detector.detect_and_repair()


def _all() -> list[str]:
    return [ids.subscription_id(f"s{number}") for number in range(COUNT)]
