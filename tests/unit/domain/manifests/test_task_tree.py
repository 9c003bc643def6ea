"""The template of a task is found by the name of its row, in every list and at every depth."""

import json

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import template_path, templates_by_path

SPEC = DefinitionSpec.model_validate_json(
    json.dumps(
        {
            "tasks": [
                {
                    "name": "g",
                    "tasks": [{"name": "a", "say": 1, "undo": [{"name": "u", "say": 2}]}],
                },
                {
                    "name": "s",
                    "switch": {
                        "cases": [{"when": "true", "tasks": [{"name": "b", "say": 3}]}],
                        "default": [{"name": "c", "say": 4}],
                    },
                },
            ],
            "onFailure": [{"name": "f", "say": 5}],
            "onSuccess": [{"name": "o", "say": 6}],
        }
    )
)


def test_every_template_has_a_path_of_its_own():
    found = templates_by_path(SPEC)
    assert list(found) == ["g", "g.a", "g.a.u", "s", "s.b", "s.c", "f", "o"]
    assert found["g.a.u"].body == 2


def test_items_and_rounds_share_the_template():
    assert template_path("g[3].a[12].u") == "g.a.u"
    assert template_path("plain") == "plain"
