"""What the tasks of onMissed and onRecovered may read."""

import json
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.scope import Scopes
from activityctl.domain.manifests.task_blocks import StaticBlock

SPEC: dict[str, Any] = {
    "context": [{"name": "all", "call": {}}],
    "tasks": [{"name": "a", "say": "a"}],
    "onMissed": [{"name": "first", "say": 1}, {"name": "then", "needs": ["first"], "say": 1}],
    "onRecovered": [{"name": "well", "say": 1}],
}


@pytest.mark.parametrize("phase", ["onMissed", "onRecovered"])
def test_a_notice_reads_neither_context_nor_the_tasks_of_other_runs(phase: str):
    spec = DefinitionSpec.model_validate_json(json.dumps(SPEC))
    templates = spec.on_missed if phase == "onMissed" else spec.on_recovered
    scope = Scopes(spec, has_sound_params=True).task(StaticBlock(templates, phase), templates[-1])
    assert set(scope["tasks"].fields) == ({"first"} if phase == "onMissed" else set())
    assert "a run of their own" in scope["tasks"].absent["a"]
    assert "trigger.payload" in scope["context"].absent["all"]
    assert not scope["context"].fields
