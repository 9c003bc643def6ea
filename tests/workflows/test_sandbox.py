"""The workflows follow the rules of the sandbox, although the worker runs them outside of it."""

import json
import subprocess
import sys

import pytest
from temporalio import workflow
from temporalio.worker.workflow_sandbox import (
    SandboxedWorkflowRunner,
    SandboxRestrictions,
    UnintentionalPassthroughError,
)
from temporalio.workflow import SandboxImportNotificationPolicy

from activityctl.workflows.alarm import AlarmWorkflow
from activityctl.workflows.run_activity import RunActivityWorkflow
from activityctl.workflows.run_batch import RunBatchWorkflow

STRICT = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_import_notification_policy(
        SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
)


def prepare(workflow_class: type) -> None:
    STRICT.prepare_workflow(workflow._Definition.must_from_class(workflow_class))


@pytest.mark.parametrize("workflow_class", [RunActivityWorkflow, RunBatchWorkflow, AlarmWorkflow])
async def test_the_workflow_can_be_loaded_in_the_sandbox(workflow_class: type) -> None:
    prepare(workflow_class)


async def test_a_module_that_is_not_passed_through_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "careless_workflow.py").write_text(
        "from temporalio import workflow\n"
        "import activityctl.domain.values.ids\n"
        "@workflow.defn\n"
        "class Careless:\n"
        "    @workflow.run\n"
        "    async def run(self) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    import careless_workflow

    with pytest.raises(UnintentionalPassthroughError, match=r"domain\.values\.ids was not"):
        prepare(careless_workflow.Careless)


@pytest.mark.parametrize("package", ["activityctl", "activityctl.workflows"])
def test_a_package_loaded_at_each_workflow_start_imports_nothing(package: str) -> None:
    code = (
        f"import json, sys; before = set(sys.modules); import {package};"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(json.loads(process.stdout)) <= {"activityctl", package}
