"""What runs something again does the same by Postgres and by HTTP: letters, replays, tokens."""

import re
from functools import partial
from typing import Any

from support.told import AGE, outcome, whole

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: MODE-charging}
spec:
  params: {type: object, properties: {code: {type: integer, default: 1}}}
  tasks:
    - name: fetch
      command: {argv: [echo, one]}
    - name: charge
      needs: [fetch]
      command: {shell: "exit ${ params.code }"}
      retry: {maxAttempts: 1}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: MODE-charger, labels: {redo: MODE}}
spec: {activity: MODE-charging}
---
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: MODE-telling}
spec:
  triggers:
    - {name: yearly, cron: {schedule: "0 6 1 1 *"}}
    - {name: rung, event: {type: MODE.rung, filter: event.id != "two"}}
  tasks: [{name: tell, command: {argv: [echo, "${ trigger.name }"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: MODE-teller}
spec: {activity: MODE-telling}
"""
WELL = MANIFEST.replace("default: 1", "default: 0")
FAILING = ("trigger MODE-charger --key KEY --wait",)
STEPS = (
    "dlq list -s MODE-charger -o wide",
    "dlq list -l redo=MODE --task charge --error exit -o name",
    "dlq list -s MODE-charger --task nothing",
    "dlq list --definition MODE-charging --status discarded",
    "dlq show LETTER",
    "dlq show nonsense",
    "dlq retry nonsense",
    "dlq retry",
    "dlq retry LETTER --no-wait --dry-run",
    "replay RUN --dry-run",
    "replay RUN --dry-run -o json --all-tasks",
    "replay RUN --from nothing --dry-run",
    "replay nonsense",
    "replay -s MODE-charger --dry-run -o name",
    "replay -l redo=MODE --id again --yes",
    "replay RUN --id again --yes --no-wait",
    "dlq discard -s MODE-charger --reason tried --limit 1",
    "dlq discard LETTER --reason paid",
    "dlq discard LETTER --reason paid",
)
HEALED = (
    "dlq retry -s MODE-charger --new-revision --yes",
    "replay RUN --latest --yes --diff",
    "replay -s MODE-charger --latest --yes -o name --limit 2 --no-wait",
    "pause -l redo=MODE --yes --reason move",
    "pause MODE-charger",
    "resume -l redo=MODE --catch-up --yes",
    "dlq list -s MODE-charger --status all",
)
_SPAN = "--since 2024-01-01T00:00:00Z --until 2026-01-01T12:00:00Z"
PAST = (
    f"backfill MODE-teller {_SPAN} --dry-run",
    f"backfill MODE-teller {_SPAN} --dry-run --only-missed -o json",
    "backfill MODE-teller",
    "backfill MODE-teller --since 1d --trigger rung",
    "backfill MODE-nobody --since 1d",
    f"backfill MODE-teller {_SPAN} --max-parallel 2",
    f"backfill MODE-teller {_SPAN} -o json",
    f"backfill MODE-teller {_SPAN} --dry-run",
    "backfill MODE-teller --cancel",
    "emit --type MODE.rung --id one --source /MODE --wait",
    "emit --type MODE.rung --id two --source /MODE --wait",
    "replay events --since 1h --type MODE.rung -s MODE-teller --dry-run",
    "replay events --since 1h --type MODE.rung -s MODE-teller --id MODE-again",
    "replay events --since 1h --type MODE.rung -s MODE-teller --id MODE-again",
    "replay events --since 1h --type MODE.rung --all-subscriptions --id MODE-all --dry-run -o json",
    "replay events --since 1h --type MODE.rung -s MODE-teller --trigger yearly --dry-run",
    "replay events --since 1h --type MODE.rung -s MODE-nobody --dry-run",
    "replay events --since 1h",
)
TOKENS = (
    "tokens create MODE-shop --scope emit:source=/MODE --ttl 90d",
    "tokens create MODE-shop --scope read",
    "tokens create MODE-other --scope nonsense",
    "tokens create MODE_wrong --scope read",
    "tokens create MODE-late --scope read --ttl 5",
    "tokens revoke MODE-nobody",
    "tokens revoke MODE-shop",
    "tokens revoke MODE-shop",
)
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z| UTC)|\b\d\d:\d\d:\d\d\.\d{3}\b"
    rf"|\b[0-9a-f]{{64}}\b|actl_\S+|{AGE.pattern}|durationMs\D+\d+"
    r"|root@\w+|\blocal\b"
)


Told = list[tuple[str, int, str, str]]


def type_all(by: Any, mode: str, known: dict[str, str], steps: tuple[str, ...]) -> Told:
    """Call the commands, with what is known for its names; return what they have told."""
    told: Told = []
    for step in steps:
        words = step
        for name, text in known.items():
            words = words.replace(name, text)
        code, out, err = outcome(by(*words.split()), mode)
        told.append((step, code, CHANGING.sub("WHEN", out), CHANGING.sub("WHEN", err)))
    return told


def test_what_runs_again_does_the_same_by_http(shell: Any):
    url = next(
        part["address"] for part in shell.json("status")["components"] if part["name"] == "api"
    )
    told: dict[str, Told] = {}
    for mode, options in (("mode-1", ()), ("mode-2", ("--server", url))):
        by = partial(shell, *options, code=None)
        told[mode] = []
        file = shell.folder / f"{mode}.yaml"
        known: dict[str, str] = {"MODE": mode}

        file.write_text(MANIFEST.replace("MODE", mode), "utf-8")
        shell("apply", "-f", file.name)
        for key in ("one", "two", "three"):
            known["KEY"] = key
            told[mode] += type_all(by, mode, known, FAILING)
        letters = shell.json("dlq", "list", "-s", f"{mode}-charger")["items"]
        known |= {"LETTER": letters[-1]["id"], "RUN": letters[-1]["run"]}
        told[mode] += type_all(by, mode, known, STEPS)
        file.write_text(WELL.replace("MODE", mode), "utf-8")
        shell("apply", "-f", file.name)
        told[mode] += type_all(by, mode, known, HEALED)
        told[mode] += type_all(by, mode, known, PAST)
        told[mode] += type_all(by, mode, known, TOKENS)
        for name in ("charger", "teller"):
            shell("delete", "sub", f"{mode}-{name}", "--yes")
    pairs = zip(told["mode-1"], told["mode-2"], strict=True)
    assert [pair for pair in pairs if pair[0] != pair[1]] == []
    assert {code for _, code, _, _ in told["mode-2"]} == {0, 1, 2, 4, 5}
    listed = ("tokens", "list")
    assert whole(shell("--server", url, *listed)) == whole(shell(*listed))
