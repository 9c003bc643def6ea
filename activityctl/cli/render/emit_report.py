"""Report what `emit` did with each event: as lines, a summary, JSON or JSON lines."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.emit_results import EventResultsView
from activityctl.cli.render.output import Format, styled, to_json
from activityctl.cli.session import Session
from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.json_form import API_VERSION, problem_view
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import Problem

if TYPE_CHECKING:
    from rich.text import Text

SHOWN_ONE_BY_ONE: Final = 20
"""For more events than these, the text is a summary."""
_WIDEST: Final = max(len(outcome) for outcome in EmitOutcome)
_REFUSALS: Final = {
    EmitOutcome.INVALID: (3, "invalid_event"),
    EmitOutcome.CONFLICT: (5, "conflict"),
}
_WORDS: Final = {EmitOutcome.CONFLICT: "in conflict"}


class JsonListWriter:
    """Writes a list as JSON or JSON lines, item by item.

    Writes nothing more when the reader has closed the pipe: the events are stored all the same.
    """

    def __init__(self, session: Session, shape: Format) -> None:
        self._file = session.out.file
        self._is_list = shape == "json"
        self._is_silent = False
        self._gap = f'{{\n  "apiVersion": "{API_VERSION}",\n  "kind": "List",\n  "items": ['

    def add(self, view: Mapping[str, object]) -> None:
        """Write one item."""
        text = to_json(view)
        self._write(f"{self._gap}\n    {text}" if self._is_list else f"{text}\n")
        self._gap = ","

    def flush(self) -> None:
        """Flush, so that a reader sees the items now."""
        self._write("", flush=True)

    def end(self, summary: Mapping[str, object]) -> None:
        """Close the list."""
        if self._is_list:
            start = "\n  " if self._gap == "," else self._gap
            self._write(f'{start}],\n  "summary": {json.dumps(summary)}\n}}\n')

    def _write(self, text: str, *, flush: bool = False) -> None:
        if self._is_silent:
            return
        try:
            self._file.write(text)
            if flush:
                self._file.flush()
        except BrokenPipeError:
            self._is_silent = True


class Messages:
    """Writes lines to stderr; drops them when its reader has closed the pipe.

    Otherwise the events after a refused one would not be stored.
    """

    def __init__(self, session: Session) -> None:
        self._file = session.err.file

    def write(self, line: str) -> None:
        """Write a line."""
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except BrokenPipeError:
            # Nothing that is still in the buffer, or comes later, fails again.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._file.fileno())
            os.close(null)


class EmitReport:
    """The report of one call; unless it keeps all results, memory does not grow with the events."""

    def __init__(self, session: Session, shape: Format, *, keeps_all: bool = False) -> None:
        self.counts: Counter[EmitOutcome] = Counter()
        self.results: list[Emitted] = []
        """All results if it keeps all; otherwise those that the text shows one by one."""
        self._session = session
        self._messages = Messages(session)
        self._is_text = shape == "text"
        self._listed = None if self._is_text else JsonListWriter(session, shape)
        self._keeps_all = keeps_all
        self._added: Counter[str] = Counter()
        self._added_id = ""

    @property
    def exit_code(self) -> int:
        """3 if an event is invalid, else 5 if one is in conflict, else 0."""
        codes = (code for outcome, (code, _) in _REFUSALS.items() if self.counts[outcome])
        return next(codes, 0)

    def take(self, batch: Sequence[Emitted]) -> None:
        """Count a batch; write its items if the output is a list, and refused events on stderr."""
        most = len(batch) if self._keeps_all else 0
        if self._is_text and not self._keeps_all:
            most = max(SHOWN_ONE_BY_ONE - self.counts.total(), 0)
        self.results += batch[:most]
        self.counts.update([result.outcome for result in batch])
        for result in batch:
            if result.filled or result.problem is not None:
                self._tell(result)
        if self._listed is not None:
            for result in batch[most:]:
                self._listed.add(emitted_view(result))
            self._listed.flush()

    def update_interrupt_message(self) -> None:
        """Set what Ctrl-C reports: how many events are stored, and what a repeat would do."""
        stored = self.counts[EmitOutcome.ACCEPTED] + self.counts[EmitOutcome.DUPLICATE]
        message, rest = "no event is known to be stored", ""
        if stored:
            message = count_noun(stored, "event is stored", "events are stored")
            rest = " for the rest"
        hint = f"run the command again{rest} (no event is stored twice)"
        if self._added["id"]:
            hint = "if you run the command again, events without an id are stored a second time"
        self._session.set_interrupt_message(message, hint=hint)

    def count(self, result: Emitted) -> None:
        """Count an event; if it is refused, write why on stderr."""
        self.counts[result.outcome] += 1
        self._tell(result)

    def _tell(self, result: Emitted) -> None:
        """Note what was added to an event; if it is refused, write why on stderr."""
        if result.filled:
            self._added.update(result.filled)
            if "id" in result.filled:
                self._added_id = result.id or ""
        if result.problem is not None:
            self._print_problem(result, result.problem)

    def end(self, waited: EventResultsView | None) -> None:
        """Print the rest of the report, with the runs of the events if they were waited for."""
        if self._listed is not None:
            for result in self.results:
                runs = waited.view(result) if waited else {}
                self._listed.add({**emitted_view(result), **runs})
            summary = {outcome.value: self.counts[outcome] for outcome in EmitOutcome}
            self._listed.end(summary)
        else:
            self._print_text(waited)
        self._print_added()

    def _print_text(self, waited: EventResultsView | None) -> None:
        out = self._session.out
        if self.counts.total() > SHOWN_ONE_BY_ONE:
            out.print(self._summary())
            for line in waited.summary() if waited else ():
                out.print(line)
            return
        for result in self.results:
            out.print(_line(result))
            for line in waited.lines(result) if waited else ():
                out.print(line)

    def _summary(self) -> str:
        counts = [
            (_WORDS.get(outcome, outcome.value), self.counts[outcome]) for outcome in EmitOutcome
        ]
        listed = ", ".join(f"{count:,} {word}" for word, count in counts if count)
        return count_noun(self.counts.total(), "event") + (f": {listed}" if listed else "")

    def _print_added(self) -> None:
        """Print on stderr which missing fields were added to the events."""
        if not self._added or (not self._is_text and self.exit_code):
            return
        is_single = self.counts.total() == 1
        fields = [
            _added_text(name, count, self._added_id if is_single else "", is_single=is_single)
            for name, count in self._added.items()
        ]
        self._messages.write("added: " + ", ".join(fields))

    def _print_problem(self, result: Emitted, problem: Problem) -> None:
        if self._is_text:
            self._messages.write(f"error: {escape_line(str(problem))}")
            return
        view = problem_view(problem)
        error = {
            "code": _REFUSALS[result.outcome][1],
            "message": str(problem),
            "file": view["file"],
            "line": view["line"],
            "path": problem.path,
            "hint": None,
            "retryable": False,
        }
        self._messages.write(to_json(error))


def _added_text(name: str, count: int, event_id: str, *, is_single: bool) -> str:
    if is_single:
        return f"{name} {escape_line(event_id)}" if name == "id" else name
    return f"{name} of {count_noun(count, 'event')}"


def _line(result: Emitted) -> "Text":
    outcome = result.outcome.value
    line = styled(outcome).append(" " * (_WIDEST - len(outcome)))
    if result.id is None:
        problem = result.problem
        place = f"{problem.file}:{problem.line}" if problem and problem.line else None
        texts: tuple[str | None, ...] = (place,)
    else:
        texts = (result.id, result.source, result.type)
    return line.append("".join(f"  {escape_line(text or '')}" for text in texts))
