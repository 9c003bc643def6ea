"""The page of a definition: what it does, who uses it, how its runs do, who changed it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from activityctl.cli.render.output import age
from activityctl.cli.render.story.figures import figure_lines
from activityctl.cli.render.story.outline import outline_lines
from activityctl.cli.render.story.page import (
    SIGNS,
    Line,
    Page,
    Section,
    column_width,
    line,
    value_section,
)
from activityctl.cli.render.story.phrases import (
    SHORT,
    by_whom,
    concurrency,
    failure_line,
    firing_lines,
    flow,
    last_runs_title,
    local_minute,
    pairs,
    trigger_facts,
)
from activityctl.cli.render.story.strip import strip_lines
from activityctl.domain.manifests.definition import TriggerTemplate
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun

_PHASES: Final = {
    "tasks": "tasks",
    "onFailure": "tasks after a failure",
    "onSuccess": "tasks after a success",
    "onSkip": "tasks when a run is skipped",
    "onMissed": "tasks when firings were missed",
    "onRecovered": "tasks when it works again",
}
_WIDEST: Final = 32


def definition_page(view: View, *, most_lines: int = 12) -> Page:
    """Return the page of a definition from its JSON view."""
    return Page(
        title=f"definition {view['name']}",
        status=f"revision {view['number']}",
        facts=tuple(_facts(view)),
        sections=tuple(_sections(view, most_lines)),
        next_steps=tuple(_next_steps(view)),
    )


def _facts(view: View) -> Iterator[tuple[str, Line]]:
    spec: Any = view["spec"]
    if view["description"]:
        yield "what it does", line(" ".join(str(view["description"]).split()))
    if view["labels"]:
        yield "labels", line(pairs(view["labels"]))
    if view["applyset"]:
        yield "apply set", line(str(view["applyset"]))
    triggers = [TriggerTemplate.model_validate(each) for each in spec.get("triggers", ())]
    yield from trigger_facts(
        [{"name": each.name, "kind": each.kind, "spec": each.body} for each in triggers]
    )
    yield from _policies(spec)
    if view["secrets"]:
        yield "secrets", Line(tuple(_secrets(view["secrets"])))
    for revision in view["revisions"][:1]:
        yield "last change", line(f"{age(revision['createdAt'])} ago{_by(revision)}")
    if failure := view["lastFailure"]:
        yield "last failure", failure_line(failure, failure["subscription"])


def _policies(spec: Mapping[str, Any]) -> Iterator[tuple[str, Line]]:
    given = {"policy": "allow", "key": None, "limit": 1, **spec.get("concurrency", {})}
    if at_once := concurrency(given):
        yield "at once", line(at_once)
    if throttle := spec.get("throttle"):
        of_key = f" for each {throttle['key']}" if throttle.get("key") else ""
        excess = throttle.get("excess", "skip")
        yield (
            "throttle",
            line(f"{throttle['limit']} in {throttle['per']}{of_key}; others: {excess}"),
        )
    yield "timeout", line(f"a run may take {spec.get('timeout', '1d')}")
    if slo := spec.get("slo"):
        words = {"startWithin": "start", "endWithin": "end"}
        limits = [f"{word} within {slo[key]}" for key, word in words.items() if key in slo]
        yield "slo", line(", ".join(limits))
    if pause := spec.get("pauseAfter"):
        yield "auto-pause", line(f"after {count_noun(pause['failures'], 'failure', 'failures')}")
    for limit in spec.get("limits", ()):
        rest = {key: limit[key] for key in limit if key != "name"}
        yield f"limit {limit['name']}", line(flow(rest))


def _secrets(secrets: Any) -> Iterator[tuple[str, str]]:
    for number, secret in enumerate(secrets):
        is_missing = not secret["isFoundHere"]
        yield (", " if number else "") + secret["name"], ""
        if is_missing:
            yield " (not found here)", "warning"


def _by(revision: View) -> str:
    return f", {by_whom(revision)}" if revision["actor"] else ""


def _sections(view: View, most_lines: int) -> Iterator[Section]:
    spec: Any = view["spec"]
    runs: Any = view["lastRuns"]
    if runs:
        yield Section(last_runs_title(runs), tuple(strip_lines(runs)))
        yield Section("figures of all subscriptions", tuple(figure_lines(view["figures"])))
    else:
        yield Section("runs", (line("none so far", "dim"),))
    yield Section("subscriptions", tuple(_subscribers(view)))
    if firings := tuple(firing_lines(view["nextFirings"], with_owner=True)):
        yield Section("next firings", firings)
    yield from _params(spec.get("params", {}), most_lines)
    if found := spec.get("context"):
        yield Section("context", tuple(outline_lines(found)))
    if rules := tuple(_rule(rule) for rule in spec.get("rules", ())):
        yield Section("rules", rules)
    for phase, title in _PHASES.items():
        if tasks := spec.get(phase):
            yield Section(title, tuple(outline_lines(tasks)))
    yield from value_section("state for the next run", spec.get("state"), most_lines)
    yield Section("revisions", tuple(_revisions(view["revisions"])))


def _subscribers(view: View) -> Iterator[Line]:
    found: Any = view["subscribers"]
    width = column_width([each["name"] for each in found], _WIDEST)
    for each in found:
        status = str(each["status"])
        yield Line(((f"{each['name']:<{width}}  ", ""), (f"{status:<8}", status), *_doing(each)), 4)
    if not found:
        yield line("none; nothing runs it", "dim")
    if (rest := view["subscriptions"] - len(found)) > 0:
        yield line(f"… and {rest:,} more; activityctl get subs has all", "dim")


def _doing(each: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if run := each["lastRun"]:
        status = str(run["status"])
        word = f"{SIGNS.get(status, '•')} {status.replace('_', ' ')}"
        yield f"  {word:<11}", status
        yield f" {age(run['createdAt']):>4} ago", "dim"
    else:
        yield f"  {'no run yet':<20}", "dim"
    if each["nextDueAt"]:
        yield f"  next {age(each['nextDueAt'])}", ""
    if letters := each["openDeadLetters"]:
        yield f"  {count_noun(letters, 'dead letter', 'dead letters')}", "failed"
    if each["pauseReason"]:
        yield f"  {each['pauseReason']}", "paused"


def _params(schema: Mapping[str, Any], most_lines: int) -> Iterator[Section]:
    """Yield the params one by one if the schema is simple, else the whole schema."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not all(
        isinstance(each, Mapping) for each in properties.values()
    ):
        yield from value_section("params", schema, most_lines)
        return
    required = schema.get("required", ())
    names = column_width(list(properties), _WIDEST)
    lines = []
    for name, each in properties.items():
        rest = {key: each[key] for key in each if key not in {"type", "description", "title"}}
        kind = flow(each.get("type", "any"))
        notes = ["required"] if name in required else []
        notes += [flow(rest)] if rest else []
        notes += [str(each["description"])] if each.get("description") else []
        told = (f"{kind:<8}", "dim"), (f"  {'; '.join(notes)}" if notes else "", "")
        lines.append(Line(((f"{name:<{names}}  ", ""), *told), 4))
    if lines:
        yield Section("params", tuple(lines))


def _rule(rule: Mapping[str, Any]) -> Line:
    otherwise = f"  otherwise: {rule['otherwise']}" if rule.get("otherwise") else ""
    return Line(((str(rule["when"]), ""), (otherwise, "dim")), 4)


def _revisions(revisions: Any) -> Iterator[Line]:
    width = max((len(str(each["number"])) for each in revisions), default=0)
    for each in revisions:
        when = f"{each['number']:>{width}}  {local_minute(each['createdAt'])}"
        said = f"  {each['id'][:SHORT]}{_by(each)}"
        yield Line(((when, ""), (said, "dim")), 4)


def _next_steps(view: View) -> Iterator[str]:
    name = view["name"]
    if failure := view["lastFailure"]:
        run = failure["run"][:SHORT]
        yield f"activityctl describe run {run}  tells how the last failure came about"
    for each in view["subscribers"][:1]:
        yield f"activityctl describe sub {each['name']}  tells how one subscription does"
    yield f"activityctl history def {name}  tells who changed what"
    yield f"activityctl export def {name}  prints the manifest"
