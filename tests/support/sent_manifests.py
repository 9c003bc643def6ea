"""Manifests as HTTP requests send them, and how the API answers."""

from typing import Any

import httpx

from support.api_server import Api

DEFINITION = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata:
  name: {name}
spec:
  params:
    type: object
    properties:
      city: {{type: string}}
    additionalProperties: false
  triggers:
    - name: nightly
      cron: {{schedule: "0 2 * * *"}}
  tasks:
    - name: note
      command: {{argv: ["true"]}}
"""
SUBSCRIPTION = """\
apiVersion: activityctl/v1
kind: Subscription
metadata:
  name: {name}
spec:
  activity: {activity}
  params: {{city: {city}}}
"""


def sent(*files: tuple[str, str], icals: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the body with these files."""
    found: dict[str, Any] = {"files": [{"name": name, "content": text} for name, text in files]}
    if icals is not None:
        found["icalFiles"] = [{"name": name, "content": text} for name, text in icals.items()]
    return found


def pair(name: str, city: str = "oslo") -> dict[str, Any]:
    """Return the body with a definition and a subscription to it, of the same name."""
    return sent(
        ("definition.yaml", DEFINITION.format(name=name)),
        ("sub/subscription.yaml", SUBSCRIPTION.format(name=name, activity=name, city=city)),
    )


def post(
    api: Api, path: str, body: Any, headers: dict[str, str] | None = None, **params: Any
) -> httpx.Response:
    return api.client.post(f"/v1/manifests/{path}", json=body, headers=headers, params=params)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]
