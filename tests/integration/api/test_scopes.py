"""Each scope at each path: who is served, who is told no, and who is told that nothing is there."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.operations.looking.kinds import KINDS
from activityctl.settings import Settings
from support.api_server import Api, make_tokens
from support.stored_runs import let_fail, let_wait, open_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITION = {
    "metadata": {"name": "scoped"},
    "spec": {
        "triggers": [
            {"name": name, "cron": {"schedule": "0 6 * * *"}} for name in ("daily", "again")
        ],
        "tasks": [{"name": "note", "manual": {"instructions": "look"}}],
    },
}
SCOPES: Final = {
    "reader": "read",
    "sender": "emit",
    "mine": "operate:subscription=scoped",
    "other": "operate:subscription=nobody",
    "keeper": "apply:set=nothing",
}
OF_ONE: Final = frozenset({"schedules", "runs", "tasks", "deadletters"})
"""The kinds of which the objects of one subscription are listed for who operates it."""
SERVED: Final = {
    "POST /v1/events": "sender",
    "POST /v1/events/replay": "mine other",
    "GET /v1/events/{uid}/explanation": "reader",
    "POST /v1/events/explain": "reader",
    "POST /v1/sources/{name}/explain": "reader",
    "GET /v1/status": "reader",
    "POST /v1/config": "keeper",
    "GET /v1/{sub_id}/logs": "reader mine",
    "POST /v1/manifests/validate": "reader keeper",
    "POST /v1/manifests/plan": "reader keeper",
    "POST /v1/manifests/diff": "reader keeper",
    "POST /v1/manifests/apply": "keeper",
    "POST /v1/subscriptions/pause": "mine other",
    "POST /v1/subscriptions/resume": "mine other",
    "POST /v1/runs/cancel": "mine other",
    "POST /v1/runs/replay": "mine other",
    "POST /v1/deadletters/retry": "mine other",
    "POST /v1/deadletters/discard": "mine other",
    "POST /v1/subscriptions/{name}/trigger": "mine",
    "POST /v1/subscriptions/{name}/pause": "mine",
    "POST /v1/subscriptions/{name}/resume": "mine",
    "GET /v1/subscriptions/{name}/next": "reader mine",
    "POST /v1/subscriptions/{name}/backfill": "mine",
    "POST /v1/subscriptions/{name}/backfill/progress": "reader mine",
    "POST /v1/subscriptions/{name}/backfill/cancel": "mine",
    "POST /v1/runs/{run_id}/replay": "mine",
    "GET /v1/runs/{run_id}/diff": "reader mine",
    "POST /v1/runs/{run_id}/cancel": "mine",
    "GET /v1/runs/{run_id}/wait": "reader mine",
    "GET /v1/deadletters/{letter_id}/details": "reader mine",
    "POST /v1/tasks/{task_id}/complete": "mine",
    "POST /v1/deadletters/{letter_id}/retry": "mine",
    "POST /v1/deadletters/{letter_id}/discard": "mine",
    "POST /v1/tokens": "",
    "GET /v1/tokens": "",
    "POST /v1/tokens/{name}/revoke": "",
    "GET /v1/logs": "reader",
    "GET /v1/subscriptions/{name}/logs": "reader mine",
    "GET /v1/runs/{run_id}/logs": "reader mine",
    "GET /v1/export": "reader keeper",
    "GET /v1/schema": "reader sender mine other keeper",
    "GET /v1/{kind}/{name}/history": "reader",
    "POST /v1/{kind}/{name}/rollback": "",
    "DELETE /v1/{kind}/{name}": "",
    "GET /v1/{kind}/{name}": "reader mine",
    "GET /v1/{kind}": "reader",
}
"""Who gets further than 403 and 404 at each path; the administrator does everywhere."""
ONE_OF: Final = {
    "schedules": "GET /v1/schedules/{name}?trigger=daily",
    "runs": "GET /v1/runs/{run_id}",
    "tasks": "GET /v1/tasks/{task_id}",
    "deadletters": "GET /v1/deadletters/{letter_id}",
}
"""One object of each of these kinds: what is listed for a caller is shown to it, too."""
LISTS: Final = {
    **dict.fromkeys((ONE_OF[kind] for kind in sorted(OF_ONE)), "reader mine"),
    **{f"GET /v1/{kind}": "" if kind == "audit" else "reader" for kind in KINDS},
    **{f"GET /v1/{kind}?subscription=scoped": "reader mine" for kind in sorted(OF_ONE)},
}
"""The same for lists and objects of several kinds, which share a path."""
VALID: Final = {"POST /v1/tokens": {"name": "scoped-made", "scopes": ["read"]}}
"""The body where a wrong one would be refused before the scope is looked at."""
EVENT: Final = {"specversion": "1.0", "id": "1", "source": "/scoped", "type": "scoped"}


@pytest.fixture(scope="module")
def known(api_settings: Settings) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the ids of objects by the parameters of paths, and headers with each token."""

    async def prepare() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        read: Any = lambda model, value: model.model_validate_json(json.dumps(value))  # noqa: E731
        definition = read(ActivityDefinition, DEFINITION)
        manifest = {"metadata": {"name": "scoped"}, "spec": {"activity": "scoped"}}
        subscription = read(SubscriptionManifest, manifest)
        async with wiring.open_ports(api_settings, pool_size=2) as ports:
            async with ports.catalog.changing():
                present = await ports.catalog.present()
                wanted = Wanted({"scoped": definition}, {"scoped": subscription})
                await ports.catalog.write(plan_changes(wanted, present), NOW)
            owner = await ports.catalog.find_subscription("scoped")
            failed = await let_fail(ports, await open_task(ports, "scoped", "bad", NOW), NOW)
            task = await let_wait(ports, await open_task(ports, "scoped", "good", NOW), NOW)
            tokens = await make_tokens(ports, **SCOPES)
        ids = {"run_id": task.run_id, "task_id": task.id, "letter_id": failed}
        return {**ids, "name": "scoped", "sub_id": owner.id, "kind": "subscriptions"}, tokens

    return asyncio.run(prepare())


def test_each_scope_is_served_where_it_holds_and_nowhere_else(
    api: Api, known: tuple[dict[str, str], dict[str, dict[str, str]]]
):
    ids, tokens = known
    (event,) = api.client.post("/v1/events", json=EVENT).json()["items"]
    described = api.client.get("/v1/openapi.json").json()["paths"]
    paths = {
        f"{method.upper()} {path}"
        for path, operations in described.items()
        for method, operation in operations.items()
        if "security" in operation
    }
    assert paths == set(SERVED), "each path is in the table, and each of the table is one"
    wrong = []
    for label, names in {**SERVED, **LISTS}.items():
        method, _, path = label.partition(" ")
        url = path.format(**ids, uid=event["uid"]).replace("/wait", "/wait?timeout=0")
        content = None if method == "GET" else json.dumps(VALID.get(label, "no object"))
        for name, headers in tokens.items():
            sent = {**headers, "Content-Type": "application/json"}
            answer = api.client.request(method, url, content=content, headers=sent)
            is_served = answer.status_code not in {401, 403, 404}
            if is_served != (name in names.split()):
                wrong.append(f"{label} as {name}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)


def test_the_hint_of_a_list_that_is_refused_works(
    api: Api, known: tuple[dict[str, str], dict[str, dict[str, str]]]
):
    _, tokens = known
    for kind in (*KINDS, "logs"):
        refused = api.client.get(f"/v1/{kind}", headers=tokens["mine"])
        assert refused.status_code == 403, kind
        of_one = api.client.get(f"/v1/{kind}?subscription=scoped", headers=tokens["mine"])
        hint = refused.json()["hint"] or ""
        assert ("one of its subscriptions" in hint) == (of_one.status_code == 200), kind
