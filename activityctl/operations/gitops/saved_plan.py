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
    source_document,
    subscription_document,
)
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.plan import Planned

_KIND: Final = "SavedPlan"
_Model = DayCalendar | EventSource | ActivityDefinition | SubscriptionManifest
_MODELS: Final[Mapping[str, type[_Model]]] = {
    "Calendar": DayCalendar,
    "EventSource": EventSource,
    "ActivityDefinition": ActivityDefinition,
    "Subscription": SubscriptionManifest,
}


_LONGEST_COMMIT: Final = 1_000


@frozen_dataclass
class SavedPlan:
    """What a saved plan wants, and what it was made from."""

    wanted: Wanted
    fingerprint: str
    """The fingerprint of the live objects."""
    source_commit: str | None
    """The commit of the files; None if they had none."""
    knows_commit: bool
    """Whether the commit was saved; plans of earlier versions have none."""


def save(
    planned: Planned,
    wanted: Wanted,
    source_commit: str | None = None,
    *,
    fingerprint: str | None = None,
) -> str:
    """Return the file's content: JSON with the plan as shown, the documents, the fingerprint.

    `source_commit` is the commit of the files; it is recorded when the plan is applied.
    `fingerprint` is that of the plan, if it is known already.
    """
    documents = [
        calendar_document(calendar.metadata, calendar.days)
        for calendar in wanted.calendars.values()
    ]
    documents += [
        source_document(source.metadata, source.spec) for source in wanted.sources.values()
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
        "takeOver": wanted.take_over,
        "allowEmpty": wanted.allow_empty,
        "fingerprint": fingerprint or planned.fingerprint,
        "sourceCommit": source_commit,
        "plan": planned.view,
        "documents": documents,
    }
    return json.dumps(content, indent=2) + "\n"


def restore(text: str, name: str) -> SavedPlan:
    """Return a saved plan from the content of its file.

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
            content.get("takeOver") is True,
            content.get("allowEmpty") is True,
            sources=found["EventSource"],
        )
        commit = content.get("sourceCommit")
        _require_commit(commit)
        return SavedPlan(wanted, str(content["fingerprint"]), commit, "sourceCommit" in content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError(
            f"{name} is not a saved plan of this version", hint="activityctl plan -f ... --out FILE"
        ) from error


def _require_version(content: Mapping[str, object]) -> None:
    if content["kind"] != _KIND or content["apiVersion"] != API_VERSION:
        raise ValueError(_KIND)
    if not isinstance(content["applyset"], str | None) or not isinstance(content["prune"], bool):
        raise TypeError(_KIND)


def _require_commit(commit: object) -> None:
    if commit is not None and not (
        isinstance(commit, str) and commit.isprintable() and len(commit) <= _LONGEST_COMMIT
    ):
        raise ValueError(_KIND)


def _body(document: Mapping[str, object]) -> str:
    return json.dumps({"metadata": document["metadata"], "spec": document["spec"]})
