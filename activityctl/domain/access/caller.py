"""Caller: who sends a request, and whether the scopes allow what it asks for."""

from collections.abc import Mapping, Sequence

from activityctl.domain.access.scope import Action, Scope
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Caller:
    """Who sends a request."""

    name: str
    """For people: `local`, or `token/NAME`."""
    scopes: tuple[Scope, ...]

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return any(scope.action is Action.ADMIN for scope in self.scopes)

    @property
    def reads_all(self) -> bool:
        """Whether every object can be read."""
        return self.is_admin or any(scope.action is Action.READ for scope in self.scopes)

    @property
    def may_emit_something(self) -> bool:
        """Whether some events may be stored."""
        return self.is_admin or any(scope.action is Action.EMIT for scope in self.scopes)

    def may_emit(self, event_type: str, source: str) -> bool:
        """Return whether an event of this type and source may be stored."""
        return self._may(Action.EMIT, {"type": [event_type], "source": [source]})

    @property
    def may_apply_something(self) -> bool:
        """Whether the objects of some apply sets may be changed."""
        return self.is_admin or any(scope.action is Action.APPLY for scope in self.scopes)

    def may_apply(self, apply_set: str | None) -> bool:
        """Return whether the objects of an apply set may be changed; None: those in no set.

        A scope with a pattern, also with `set=*`, allows no object that is in no set.
        """
        return self._may(Action.APPLY, {"set": [] if apply_set is None else [apply_set]})

    @property
    def may_operate_something(self) -> bool:
        """Whether some subscriptions may be operated."""
        return self.is_admin or any(scope.action is Action.OPERATE for scope in self.scopes)

    def may_operate(self, subscription: str, labels: Mapping[str, str]) -> bool:
        """Return whether the runs of a subscription may be triggered, cancelled and so on."""
        pairs = [f"{key}={value}" for key, value in labels.items()]
        return self._may(Action.OPERATE, {"subscription": [subscription], "label": pairs})

    def _may(self, action: Action, facts: Mapping[str, Sequence[str]]) -> bool:
        return self.is_admin or any(
            scope.action is action and scope.fits(facts) for scope in self.scopes
        )
