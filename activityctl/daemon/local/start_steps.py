"""The steps of a start of the local daemon: what it does, and since when."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict


class StartStep(BaseModel):
    """One step; its begin and end in seconds of the machine's clock that nobody can set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    doing: str
    """Such as `starting Postgres`."""
    began: float
    ended: float | None = None
    """None while the step lasts."""
    failed: bool = False


class StartSteps:
    """The steps of one start, in the order in which they began; some run at the same time."""

    def __init__(self, report: Callable[[Sequence[StartStep]], None]) -> None:
        self._report = report
        self._steps: list[StartStep] = []

    @property
    def steps(self) -> tuple[StartStep, ...]:
        """The steps so far."""
        return tuple(self._steps)

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """Report that the step begins, and that it has ended; it failed if the block raises."""
        index = len(self._steps)
        self._steps.append(StartStep(doing=doing, began=time.monotonic()))
        self._report(self.steps)
        failed = True
        try:
            yield
            failed = False
        finally:
            end = {"ended": time.monotonic(), "failed": failed}
            self._steps[index] = self._steps[index].model_copy(update=end)
            self._report(self.steps)
