"""Tasks in a terminal: what is in a group stands below it."""

from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.task_tree import as_tree
from activityctl.domain.values.json_form import View


def view(name: str, index: int = 0, of: int | None = None, phase: str = "main") -> View:
    return {"name": name, "index": index, "of": of, "phase": phase}


def shown(*views: View) -> list[str]:
    name = dict(columns_of("tasks", wide=False))["NAME"]
    return [str(name(found)) for found in as_tree(views)]


def test_what_is_in_a_group_a_loop_or_undoes_a_task_stands_below_it():
    assert shown(
        view("check"),
        view("trip", 0, 2),
        view("trip", 1, 2),
        view("trip[1].hotel"),
        view("trip[0].hotel"),
        view("poll"),
        view("poll", 1, 5),
        view("poll", 2, 5),
        view("poll[2].ask"),
        view("trip[0].hotel.cancel", phase="undo"),
    ) == [
        "check",
        "trip[0]",
        "  hotel",
        "    cancel (undo)",
        "trip[1]",
        "  hotel",
        "poll",
        "  poll[1]",
        "  poll[2]",
        "    ask",
    ]


def test_a_list_without_what_encloses_a_task_shows_its_whole_name():
    assert shown(view("trip[0].hotel"), view("a", 1, 3)) == ["trip[0].hotel", "a[1]"]
