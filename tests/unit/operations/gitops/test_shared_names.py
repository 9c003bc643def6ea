"""Limits and breakers with a name are declared, and in the same way by all who share them."""

from pathlib import Path

import pytest
import yaml

from activityctl import wiring
from activityctl.errors import InvalidManifestsError
from activityctl.operations.gitops.load import load_manifests

CRM = {"name": "crm", "rate": 5}


def problems_of(folder: Path, **specs: object) -> list[str]:
    for name, spec in specs.items():
        document = {
            "apiVersion": "activityctl/v1",
            "kind": "ActivityDefinition",
            "metadata": {"name": name},
            "spec": spec,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    try:
        load_manifests(
            wiring.manifest_source(), [str(folder)], wiring.known_kinds(), recursive=False
        )
    except InvalidManifestsError as error:
        return [str(problem) for problem in error.problems]
    return []


def spec(*limits: object, **fields: object) -> dict[str, object]:
    task = {"name": "one", "command": {"argv": ["true"]}, **fields}
    return {"limits": list(limits), "tasks": [task]}


def looking(kind: str, body: object, **fields: object) -> dict[str, object]:
    """Return a spec with the limit crm and a context source."""
    return {**spec(CRM), "context": [{"name": "customer", kind: body, **fields}]}


URL = {"url": "https://crm.example/"}
QUERY = {"connection": {"secretRef": "crm"}, "statement": "SELECT 1"}


def test_definitions_may_share_what_they_declare_alike(tmp_path: Path):
    mine = spec(CRM, limit="crm", breaker={"name": "crm", "failures": 3})
    yours = spec({**CRM, "per": "1s"}, limit="crm", breaker={"name": "crm", "failures": 3})
    yours["tasks"][0]["breaker"]["whileOpen"] = "fail"  # type: ignore[index]  # made above
    assert problems_of(tmp_path, mine=mine, yours=yours) == []
    mine = looking("http", URL, breaker={}, limit="crm")
    assert problems_of(tmp_path, mine=mine, yours=spec()) == []


@pytest.mark.parametrize(
    ("mine", "yours", "path", "reason"),
    [
        (
            spec(CRM),
            spec({**CRM, "rate": 6}),
            "spec.limits[0]",
            "definition 'mine' declares the limit 'crm' with rate 5, not rate 6",
        ),
        (
            spec(breaker={"name": "crm"}),
            spec(breaker={"name": "crm", "failures": 3}),
            "spec.tasks[0]",
            "declares the breaker 'crm' with its defaults, not failures 3",
        ),
        (spec(), spec(limit="crm"), "spec.tasks[0].limit", "declare it in spec.limits"),
        (spec(), spec(CRM, limit="crn"), "spec.tasks[0].limit", "no such limit: 'crn'"),
        (spec(), spec(CRM, {**CRM}), "spec.limits[1].name", "'crm' is used twice"),
        (spec(), spec(breaker={}), "spec.tasks[0].breaker", "only http and ai have a host"),
        (
            spec(breaker={"name": "crm"}),
            looking("http", URL, breaker={"name": "crm", "failures": 3}),
            "spec.context[0]",
            "declares the breaker 'crm' with its defaults, not failures 3",
        ),
        (spec(), looking("http", URL, limit="crn"), "spec.context[0].limit", "no such limit"),
        (
            spec(),
            looking("sql", QUERY, breaker={}),
            "spec.context[0].breaker",
            "only http and ai have a host",
        ),
        (
            spec(),
            looking("runs", {}, breaker={"name": "crm"}),
            "spec.context[0].breaker",
            "has no effect: a source of kind runs asks no neighbour",
        ),
        (spec(), spec({"name": "crm"}), "spec.limits[0]", "needs rate or concurrency"),
        (
            spec(),
            spec({"name": "crm", "concurrency": 1, "burst": 2}),
            "spec.limits[0]",
            "per and burst have no effect without rate",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_place(
    tmp_path: Path, mine: object, yours: object, path: str, reason: str
):
    (problem,) = problems_of(tmp_path, mine=mine, yours=yours)
    assert "yours.yaml" in problem
    assert f" {path}: " in problem
    assert reason in problem
