"""`validate` reports all problems of all documents in one round, each once and at its line."""

from collections import Counter
from pathlib import Path

import pytest

from activityctl import wiring
from activityctl.adapters.manifests.manifests import YamlManifests
from activityctl.operations.gitops.validate import validate

MANY = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: orders}
spec:
  params:
    type: object
    required: [threshold]
    properties: {threshold: {type: number}}
  timeout: soon  # 1
  triggers:
    - name: nightly
      cron:
        schedule: "61 2 * * *"  # 1
        timezone: Mars/Base  # 1
    - name: large
      event:
        type: order.created
        fliter: x  # 1
        filter: event.data.amount > params.treshold  # 1
    - name: hourly
      interval: {every: 1h}
  concurrency: {policy: skipp}  # 1
  rules:
    - when: params.threshold > 'a'  # 1
  tasks:
    - name: score
      http:
        url: "ftp:///x"  # 1
        metod: POST  # 1
        json:
          a: "${ params.nope }"  # 1
          b: "${ contxt.x } ${ tasks.z.output }"  # 2
      timeout: {startToClose: 0}  # 1
    - name: notify
      needs: [scoer]  # 1
      when: tasks.scor.output.risk > 0.8 && params.nope == 1  # 2
      command: {argv: [echo]}
    - name: Bad_Name  # 1
      command: {argv: [echo, "${ 1 + }"]}  # 1
    - name: reader
      needs: [Bad_Name]  # 1
      command: {argv: [echo, "${ tasks.Bad_Name.output }"]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: eu}
spec:
  activity: orders
  params: {threshold: many}  # 1
  triggers:
    nigthly: null  # 1
    large: null
    hourly: {interval: {every: 0s}}  # 1
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: broken}
spec: {activity: orders, params: {threshold: 1}
---  # 1
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: us}
spec:
  activity: orders
  parms: {threshold: 1}  # 1
  labels: {a: b}  # 1
---
apiVersion: activityctl/v2  # 1
kind: Subscription
metadata: {name: asia}
spec:
  activity: orders
  params: {threshold: yes}  # 1
  triggers: {daily: null}  # 1
---
kind: Calender  # 2
metadata: {name: x}
spec: {}
---
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: orders}  # 1
spec:
  tasks:
    - name: one
      comand: {argv: [echo]}  # 1
      when: 1 + 1  # 1
"""


def planted(text: str) -> Counter[int]:
    """Return how many problems each line has, by the number after its `#`."""
    lines = enumerate(text.splitlines(), 1)
    return Counter({n: int(line[-1]) for n, line in lines if line[-4:-1] == " # "})


def problems_of(folder: Path, text: str) -> list[tuple[int, str, str]]:
    file = folder / "many.yaml"
    file.write_text(text)
    kinds = wiring.known_kinds()
    found = validate(YamlManifests(), [str(file)], kinds, recursive=False).problems
    return [(problem.line, problem.path, problem.reason) for problem in found]


def test_every_planted_problem_is_reported_once_at_its_line(tmp_path: Path) -> None:
    found = problems_of(tmp_path, MANY)
    assert sum(planted(MANY).values()) >= 25
    assert Counter(line for line, *_ in found) == planted(MANY), found


@pytest.mark.parametrize(
    "broken",
    ["a: [1", "a: 'x", '--- "x', "a: b: c", "{a", "a: |\n  x\n b: 1", "\ta: 1", "&a b: *c d"],
)
def test_a_document_with_a_syntax_error_hides_no_other(tmp_path: Path, broken: str) -> None:
    text = f"kind: One\n---\n{broken}\n---\nkind: Two\n---\n{broken}\n---\nkind: Three\n"
    found = problems_of(tmp_path, text)
    kinds = [line for line, path, _ in found if path == "kind"]
    assert [text.splitlines()[line - 1] for line in kinds] == [
        "kind: One",
        "kind: Two",
        "kind: Three",
    ]
    assert len({line for line, *_ in found}) >= 5


def test_what_only_follows_from_a_faulty_part_is_not_reported(tmp_path: Path) -> None:
    text = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: orders}
spec:
  parms: {type: object, properties: {a: {type: number}}}  # 1
  contxt: [{name: customer, http: {url: "https://crm.example/"}}]  # 1
  tasks:
    - name: one
      needs: [two]
      when: params.a > 1 && context.customer.active
      command: {argv: [echo, "${ params.b } ${ tasks.two.output }"]}
    - {name: two, command: {argv: [echo]}, retry: 7}  # 1
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: eu}
spec: {activity: orders, params: {a: 1}}
"""
    found = problems_of(tmp_path, text)
    assert Counter(line for line, *_ in found) == planted(text), found
