"""Commands as a user meets them: values in scripts, what a command sees, what is kept of it."""

import json
from pathlib import Path
from typing import Any

import pytest

DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: NAME}
spec:
  triggers: [{name: paid, event: {type: NAME.paid}}]
  tasks:
    - name: one
      command: COMMAND
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: NAME}
spec: {activity: NAME}
"""
EVIL = "$(touch HIT) `touch HIT`'; touch HIT; \""


def write(folder: Path, name: str, command: str) -> None:
    text = DEFINITION.replace("COMMAND", command).replace("NAME", name)
    (folder / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize(
    "command",
    [
        '{shell: "echo ${ event.data.customer }"}',
        '{argv: [sh, -c, "echo ${ event.data.customer }"]}',
        '{argv: [bash, -c, "echo ${ event.data.customer }"]}',
        '{argv: [env, sh, -c, "echo ${ event.data.customer }"]}',
        '{argv: [python3, -c, "print(${ event.data.customer })"]}',
    ],
)
def test_a_value_in_a_script_is_refused_with_its_place_and_the_way_to_write_it(
    stranger: Any, command: str
):
    write(stranger.folder, "shop", command)
    done = stranger("validate", "-f", "shop.yaml", code=3)
    column = f"      command: {command}".index("event.data") + 1
    assert f"error: shop.yaml:9:{column}: spec.tasks[0].command." in done.stderr
    assert 'env: {CUSTOMER: "${ event.data.customer }"}' in done.stderr


def test_a_value_that_is_passed_with_env_is_not_executed(shell: Any, tmp_path: Path):
    hit = tmp_path / "HIT"
    value = EVIL.replace("HIT", str(hit))
    command = '{shell: \'printf %s "$CUSTOMER"\', env: {CUSTOMER: "${ event.data.customer }"}}'
    write(tmp_path, "shop-env", command)
    shell("apply", "-f", "shop-env.yaml")
    document = tmp_path / "event.json"
    document.write_text(
        '{"specversion": "1.0", "id": "1", "source": "/t", "type": "shop-env.paid", "data": '
        + json.dumps({"customer": value})
        + "}"
    )
    shell("emit", "event.json", "--wait")
    (task,) = shell.json("get", "tasks", "-s", "shop-env")["items"]
    assert task["output"]["stdout"] == value
    assert not hit.exists()
    shell("delete", "sub", "shop-env", "--yes")
