"""How `get` prints a list: once, sorted and in the columns that are asked for, or as it changes."""

from collections.abc import Awaitable, Callable, Sequence

from activityctl.cli.render.columns import columns_of, how_to_complete, waiting_columns
from activityctl.cli.render.output import (
    Column,
    Format,
    check_format,
    name_of_view,
    print_views,
)
from activityctl.cli.render.task_tree import as_tree
from activityctl.cli.render.view_path import CUSTOM, as_columns, parse_columns, sorted_by
from activityctl.cli.render.watched_table import WatchedTable
from activityctl.cli.session import Session
from activityctl.cli.streams import output_has_failed
from activityctl.domain.values.json_form import View
from activityctl.errors import UnreachableError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.get import Page
from activityctl.operations.looking.kinds import Kind, singular
from activityctl.operations.looking.watch import watch


@frozen_dataclass
class Listing:
    """What is listed, and how."""

    kind: Kind
    output: str
    """The value of `-o`."""
    sort_by: str | None = None
    statuses: tuple[str, ...] = ()
    of_one_run: bool = False

    @property
    def shape(self) -> Format:
        """The format; columns that are asked for make a table whose cells stay whole."""
        return "wide" if self.is_custom else check_format(self.output)

    @property
    def is_custom(self) -> bool:
        """Whether the columns are asked for."""
        return self.output.startswith(CUSTOM)

    @property
    def is_table(self) -> bool:
        """Whether a table is printed."""
        return self.shape in {"text", "wide"}

    def check_watched(self) -> None:
        """Raise UsageError for a format that has one document for the whole list."""
        if self.shape in {"json", "yaml"}:
            raise UsageError(
                f"--watch cannot be combined with -o {self.shape}", hint="use -o jsonl"
            )

    def columns(self, views: Sequence[View]) -> Sequence[Column]:
        """Return the columns of the table; UsageError for a field that no view has."""
        if self.is_custom:
            paths = parse_columns(self.output.removeprefix(CUSTOM))
            for _, path in paths:
                path.check(views)
            return as_columns(paths)
        is_wide = self.shape == "wide"
        found = columns_of(self.kind, wide=is_wide)
        if self.kind == "tasks" and self.statuses == ("waiting",):
            found = waiting_columns(wide=is_wide)
        if self.kind == "tasks" and self.of_one_run:
            found = [column for column in found if column[0] != "RUN"]
        return found

    def ordered(self, views: list[View]) -> list[View]:
        """Return the views in the order in which they are printed."""
        if self.sort_by is not None:
            return sorted_by(views, self.sort_by)
        if self.kind == "runs" and self.is_table:
            return sorted(views, key=lambda view: (view["dueAt"], view["createdAt"]), reverse=True)
        if self.kind == "tasks" and self.of_one_run and self.is_table and not self.is_custom:
            return as_tree(views)
        return views

    def print(self, session: Session, page: Page) -> None:
        """Print the list once, and on stderr whether there is more."""
        views = self.ordered(page.views)
        columns = self.columns(views)
        print_views(session.out, self.kind, views, self.shape, columns, has_more=page.has_more)
        if self.is_table and (hint := how_to_complete(self.kind, views)):
            session.err.print(hint)
        if page.has_more and self.shape not in {"json", "yaml"}:
            session.err.print(f"{len(views)} shown, and there are more; --limit 0 lists all")


async def watch_list(
    session: Session, listing: Listing, read: Callable[[], Awaitable[Page]]
) -> None:
    """Print the list, then each object that is new or changes, until the reader has ended."""
    table: WatchedTable | None = None
    kind = listing.kind

    def tell(error: UnreachableError | None) -> None:
        waits = "waiting until it answers again (Ctrl-C ends this)"
        server = session.settings.server
        answers = f"{'Postgres' if server is None else server} answers again"
        session.err.print(answers if error is None else f"{error.message}; {waits}")

    is_first = True
    async for change in watch(read, lambda view: _key(kind, view), on_outage=tell):
        views = listing.ordered(list(change.views))
        if not views and is_first:
            session.err.print(f"no {kind} so far; waiting for some (Ctrl-C ends this)")
        is_first = False
        if listing.is_table:
            table = table or (WatchedTable(session.out, listing.columns(views)) if views else None)
            if table is not None:
                table.add(views)
        else:
            print_views(session.out, kind, views, listing.shape, ())
        for key in change.gone:
            session.err.print(f"{singular(kind)}/{key} is no longer in the list")
        session.out.file.flush()
        if output_has_failed():
            return


def _key(kind: Kind, view: View) -> str:
    return name_of_view(kind, view)
