"""Describe one object of any kind: the story of a run, a subscription or a definition."""

from activityctl.domain.runs.lateness import lateness_view
from activityctl.domain.values.json_form import View
from activityctl.operations.looking.definition_story import DefinitionStory
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.kinds import Kind
from activityctl.operations.looking.read_ports import ReadPorts
from activityctl.operations.looking.relayers import ReadRelayers, no_relayers
from activityctl.operations.looking.run_story import RunStory
from activityctl.operations.looking.subscription_story import SubscriptionStory


async def describe(
    ports: ReadPorts,
    kind: Kind,
    reference: str,
    *,
    last: bool = False,
    relayers: ReadRelayers = no_relayers,
) -> View:
    """Return an object with all that belongs to it.

    With `last`, the reference is a subscription, and its last run is described.
    """
    views = ObjectViews(ports, relayers)
    lists = ports.run_lists
    if kind == "runs" or last:
        run = RunStory(views, ports.catalog, lists, ports.runs, ports.logbook)
        found = await (run.tell_last(reference) if last else run.tell(reference))
        late = await ports.lateness.of_runs([found["id"]])
        return {**found, "late": [lateness_view(each) for each in late]} if late else found
    if kind == "definitions":
        definition = DefinitionStory(
            views, ports.catalog, ports.register, ports.outbox, ports.facts
        )
        return await definition.tell(reference, ports.workers.server_time())
    if kind == "subscriptions":
        subscription = SubscriptionStory(
            views, ports.catalog, ports.register, ports.outbox, lists, ports.facts, ports.chains
        )
        return await subscription.tell(reference, ports.workers.server_time())
    return await views.describe(kind, reference)
