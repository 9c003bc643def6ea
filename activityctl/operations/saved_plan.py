"""Saved plans: a file that says exactly what was reviewed, applied as long as the world fits."""

import json
from collections.abc import Mapping

from pydantic import ValidationError

from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.document import definition_document, subscription_document
from activityctl.domain.plan import Wanted
from activityctl.domain.subscription import SubscriptionManifest
from activityctl.domain.view import API_VERSION, View
from activityctl.errors import InvalidInputError
from activityctl.operations.plan import Planned

_KIND = "SavedPlan"


def save(planned: Planned, wanted: Wanted) -> str:
    """Return the file's content: JSON with the plan as shown, the documents, the fingerprint."""
    documents = [definition_document(one.metadata, one.spec) for one in wanted.definitions.values()]
    documents += [
        subscription_document(one.metadata, one.spec) for one in wanted.subscriptions.values()
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
    """Return what a saved plan wants and the fingerprint it was made against."""
    try:
        content = json.loads(text)
        _require_version(content)
        definitions = [
            ActivityDefinition.model_validate_json(_body(one))
            for one in content["documents"]
            if one["kind"] == "ActivityDefinition"
        ]
        subscriptions = [
            SubscriptionManifest.model_validate_json(_body(one))
            for one in content["documents"]
            if one["kind"] == "Subscription"
        ]
        wanted = Wanted(
            {one.metadata.name: one for one in definitions},
            {one.metadata.name: one for one in subscriptions},
            content["applyset"],
            bool(content["prune"]),
        )
        return wanted, str(content["fingerprint"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise InvalidInputError(
            f"{name} is no saved plan of this version", hint="activityctl plan -f ... --out FILE"
        ) from error


def _require_version(content: Mapping[str, object]) -> None:
    if content["kind"] != _KIND or content["apiVersion"] != API_VERSION:
        raise KeyError(_KIND)


def _body(document: Mapping[str, object]) -> str:
    return json.dumps({"metadata": document["metadata"], "spec": document["spec"]})
