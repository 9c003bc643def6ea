"""Write a reviewed plan to a file and read it back; applying it is in `apply`."""

import json
from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.document import (
    calendar_document,
    definition_document,
    subscription_document,
)
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import InvalidInputError
from activityctl.operations.gitops.plan import Planned

_KIND: Final = "SavedPlan"
_MODELS: Final[Mapping[str, type[DayCalendar | ActivityDefinition | SubscriptionManifest]]] = {
    "Calendar": DayCalendar,
    "ActivityDefinition": ActivityDefinition,
    "Subscription": SubscriptionManifest,
}


def save(planned: Planned, wanted: Wanted) -> str:
    """Return the file's content: JSON with the plan as shown, the documents, the fingerprint."""
    documents = [
        calendar_document(calendar.metadata, calendar.days)
        for calendar in wanted.calendars.values()
    ]
    documents += [
        definition_document(definition.metadata, definition.spec)
        for definition in wanted.definitions.values()
    ]
    documents += [
        subscription_document(manifest.metadata, manifest.spec)
        for manifest in wanted.subscriptions.values()
    ]
    content: View = {
        "apiVersion": API_VERSION,
        "kind": _KIND,
        "applyset": wanted.applyset,
        "prune": wanted.prune,
        "fingerprint": planned.fingerprint,
        "plan": planned.view,
        "documents": documents,
    }
    return json.dumps(content, indent=2) + "\n"


def restore(text: str, name: str) -> tuple[Wanted, str]:
    """Return what a saved plan wants, and the fingerprint of the live objects it was made from.

    Raises InvalidInputError when the text is not a saved plan of this version.
    """
    try:
        content = json.loads(text)
        _require_version(content)
        found: dict[str, dict[str, Any]] = {kind: {} for kind in _MODELS}
        for document in content["documents"]:
            model = _MODELS[document["kind"]].model_validate_json(_body(document))
            found[document["kind"]][model.metadata.name] = model
        applyset, prune = content["applyset"], content["prune"]
        wanted = Wanted(
            found["ActivityDefinition"],
            found["Subscription"],
            applyset,
            prune,
            found["Calendar"],
        )
        return wanted, str(content["fingerprint"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError(
            f"{name} is not a saved plan of this version", hint="activityctl plan -f ... --out FILE"
        ) from error


def _require_version(content: Mapping[str, object]) -> None:
    if content["kind"] != _KIND or content["apiVersion"] != API_VERSION:
        raise ValueError(_KIND)
    if not isinstance(content["applyset"], str | None) or not isinstance(content["prune"], bool):
        raise TypeError(_KIND)


def _body(document: Mapping[str, object]) -> str:
    return json.dumps({"metadata": document["metadata"], "spec": document["spec"]})
