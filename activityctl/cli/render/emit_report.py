"""How `emit` tells what became of events: as lines, a summary, a list in JSON or JSON lines."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.emit_results import EventResultsView
from activityctl.cli.render.output import Format, escape_controls, styled
from activityctl.cli.session import Session
from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.json_form import API_VERSION, problem_view
from activityctl.domain.values.plurals import count_noun

if TYPE_CHECKING:
    from rich.text import Text

SHOWN_ONE_BY_ONE: Final = 20
"""Of more events than these the text is a summary."""
_WIDEST: Final = max(len(outcome) for outcome in EmitOutcome)
_REFUSALS: Final = {
    EmitOutcome.INVALID: (3, "invalid_event"),
    EmitOutcome.CONFLICT: (5, "conflict"),
}
_WORDS: Final = {EmitOutcome.CONFLICT: "in conflict"}


class JsonListWriter:
    """A list in JSON, or JSON lines, written as it grows and closed whatever happens.

    When its reader has gone it falls silent, since events are stored whoever listens.
    """

    def __init__(self, session: Session, shape: Format) -> None:
        self._file = session.out.file
        self._is_list = shape == "json"
        self._is_silent = False
        self._gap = f'{{\n  "apiVersion": "{API_VERSION}",\n  "kind": "List",\n  "items": ['

    def add(self, view: Mapping[str, object]) -> None:
        """Write one item."""
        text = json.dumps(view, ensure_ascii=True)
        self._write(f"{self._gap}\n    {text}" if self._is_list else f"{text}\n")
        self._gap = ","

    def flush(self) -> None:
        """Let readers see what is written."""
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


class EmitReport:
    """What became of the events of one call; memory stays flat unless it keeps all results."""

    def __init__(self, session: Session, shape: Format, *, keeps_all: bool = False) -> None:
        self.counts: Counter[EmitOutcome] = Counter()
        self.results: list[Emitted] = []
        """All of them when it keeps all; else those that are told one by one."""
        self._session = session
        self._is_text = shape == "text"
        self._listed = None if self._is_text else JsonListWriter(session, shape)
        self._keeps_all = keeps_all
        self._filled: Counter[str] = Counter()
        self._filled_id = ""

    @property
    def exit_code(self) -> int:
        """3 when an event is invalid, else 5 when one is in conflict, else 0."""
        codes = (code for outcome, (code, _) in _REFUSALS.items() if self.counts[outcome])
        return next(codes, 0)

    def take(self, batch: Sequence[Emitted]) -> None:
        """Tell of a batch as far as it is told before the end; refusals are, on stderr."""
        for one in batch:
            self.count(one)
            if self._keeps_all or (self._is_text and self.counts.total() <= SHOWN_ONE_BY_ONE):
                self.results.append(one)
            elif self._listed is not None:
                self._listed.add(emitted_view(one))
        if self._listed is not None:
            self._listed.flush()

    def update_interrupt_message(self) -> None:
        """Have Ctrl-C say how many events are stored, and whether a repeat is harmless."""
        stored = self.counts[EmitOutcome.ACCEPTED] + self.counts[EmitOutcome.DUPLICATE]
        told, rest = "no event is known to be stored", ""
        if stored:
            told, rest = count_noun(stored, "event is stored", "events are stored"), " for the rest"
        hint = f"run the command again{rest} (a repeat is harmless)"
        if self._filled["id"]:
            hint = "a repeat stores those that came without an id once more"
        self._session.set_interrupt_message(told, hint=hint)

    def count(self, one: Emitted) -> None:
        """Count an event, and say on stderr why it is refused."""
        self.counts[one.outcome] += 1
        self._filled.update(one.filled)
        if "id" in one.filled:
            self._filled_id = one.id or ""
        if one.problem is not None:
            self._complain(one)

    def end(self, consequences: EventResultsView | None) -> None:
        """Tell of the rest, with what the events led to when that is known."""
        if self._listed is not None:
            for one in self.results:
                led_to = consequences.view(one) if consequences else {}
                self._listed.add({**emitted_view(one), **led_to})
            summary = {outcome.value: self.counts[outcome] for outcome in EmitOutcome}
            self._listed.end(summary)
        else:
            self._end_text(consequences)
        self._say_filled()

    def _end_text(self, consequences: EventResultsView | None) -> None:
        out = self._session.out
        if self.counts.total() > SHOWN_ONE_BY_ONE:
            out.print(self._summary())
            for line in consequences.summary() if consequences else ():
                out.print(line)
            return
        for one in self.results:
            out.print(_line(one))
            for line in consequences.lines(one) if consequences else ():
                out.print(line)

    def _summary(self) -> str:
        counts = [(_WORDS.get(one, one.value), self.counts[one]) for one in EmitOutcome]
        told = ", ".join(f"{count:,} {word}" for word, count in counts if count)
        return count_noun(self.counts.total(), "event") + (f": {told}" if told else "")

    def _say_filled(self) -> None:
        if not self._filled or (not self._is_text and self.exit_code):
            return
        is_single = self.counts.total() == 1
        told = [
            _filled_text(name, count, self._filled_id if is_single else "", is_single=is_single)
            for name, count in self._filled.items()
        ]
        self._session.err.print("filled in: " + ", ".join(told))

    def _complain(self, one: Emitted) -> None:
        problem = one.problem
        if problem is None:
            return
        if self._is_text:
            self._session.err.file.write(f"error: {escape_controls(str(problem))}\n")
            return
        view = problem_view(problem)
        error = {
            "code": _REFUSALS[one.outcome][1],
            "message": str(problem),
            "file": view["file"],
            "line": view["line"],
            "path": problem.path,
            "hint": None,
            "retryable": False,
        }
        self._session.err.file.write(json.dumps(error, ensure_ascii=True) + "\n")


def _filled_text(name: str, count: int, event_id: str, *, is_single: bool) -> str:
    if is_single:
        return f"{name} {escape_controls(event_id)}" if name == "id" else name
    return f"{name} of {count_noun(count, 'event')}"


def _line(one: Emitted) -> "Text":
    outcome = one.outcome.value
    line = styled(outcome).append(" " * (_WIDEST - len(outcome)))
    if one.id is None:
        problem = one.problem
        place = f"{problem.file}:{problem.line}" if problem and problem.line else None
        told: tuple[str | None, ...] = (place,)
    else:
        told = (one.id, one.source, one.type)
    return line.append("".join(f"  {escape_controls(text or '')}" for text in told))
