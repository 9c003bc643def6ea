"""What `export` prints applies unchanged: any text and number, in every slot, from both stores."""

from collections.abc import Awaitable, Callable
from typing import Any

from activityctl import wiring
from activityctl.cli.render.output import to_yaml
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.history import export
from support.exporting import (
    NUMBERS,
    WORDS,
    definition_with,
    model_of,
    read_back,
    subscription_with,
)


async def test_an_export_of_live_objects_has_an_empty_plan(
    ports: wiring.Ports, apply: Callable[..., Awaitable[Any]]
):
    values = [*NUMBERS, None, True, "7.0"]
    objects = [model_of(make(WORDS, values)) for make in (definition_with, subscription_with)]
    await apply(*objects)
    documents = await export(ports.catalog, Selection(), None)
    again = [read_back(to_yaml(document)) for document in documents]
    definition, subscription = again
    assert isinstance(definition, ActivityDefinition)
    assert revision_id_of(definition) == revision_id_of(objects[0])
    wanted = Wanted({"texts": definition}, {"texts": subscription})
    plan = plan_changes(wanted, await ports.catalog.present())
    assert [(change.action, change.fields) for change in plan.changes] == [("unchanged", ())] * 2
