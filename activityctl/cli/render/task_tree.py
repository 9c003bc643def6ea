"""The tasks of one run as a tree: what is in a group, a loop or undoes a task stands below it."""

from collections.abc import Mapping, Sequence

from activityctl.domain.values.json_form import View


def label_of(view: View) -> str:
    """Return the name of a task in its run, such as `payment[2].charge`."""
    index = f"[{view['index']}]" if view["of"] else ""
    return f"{view['name']}{index}"


def as_tree(views: Sequence[View]) -> list[View]:
    """Return the tasks of one run, each below what it is in, with its `depth` and `shown` name.

    Without groups and loops, the order stays as it is.
    """
    by_label = {label_of(view): view for view in views}
    below: dict[str | None, list[View]] = {}
    for view in views:
        below.setdefault(_parent(view, by_label), []).append(view)
    found: list[View] = []
    waiting = [(view, 0) for view in reversed(below.get(None, []))]
    while waiting:
        view, depth = waiting.pop()
        label = label_of(view)
        parent = _parent(view, by_label)
        found.append({**view, "depth": depth, "shown": label.removeprefix(f"{parent}.")})
        waiting += [(child, depth + 1) for child in reversed(below.get(label, []))]
    return found


def _parent(view: View, by_label: Mapping[str, View]) -> str | None:
    """Return the label of what the task is in; None if that is nothing, or not in the list."""
    name = str(view["name"])
    if view["of"] and name in by_label:
        return name  # a round of a loop
    parent = name.rpartition(".")[0]
    return parent if parent in by_label else None
