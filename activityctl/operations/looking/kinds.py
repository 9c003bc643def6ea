"""The kinds of objects that commands list and describe, and the words that name them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, get_args

from activityctl.errors import UsageError

if TYPE_CHECKING:
    from activityctl.domain.gitops.plan import Kind as ManifestKind

Kind = Literal[
    "definitions",
    "subscriptions",
    "calendars",
    "sources",
    "revisions",
    "schedules",
    "runs",
    "tasks",
    "deadletters",
    "events",
    "workers",
    "breakers",
    "limits",
    "sets",
    "audit",
    "chains",
    "relayers",
]
SHORT_FORMS: Final[Mapping[str, Kind]] = {
    "definition": "definitions",
    "def": "definitions",
    "defs": "definitions",
    "activitydefinition": "definitions",
    "activitydefinitions": "definitions",
    "subscription": "subscriptions",
    "sub": "subscriptions",
    "subs": "subscriptions",
    "calendar": "calendars",
    "cal": "calendars",
    "cals": "calendars",
    "source": "sources",
    "src": "sources",
    "eventsource": "sources",
    "eventsources": "sources",
    "revision": "revisions",
    "rev": "revisions",
    "revs": "revisions",
    "schedule": "schedules",
    "sched": "schedules",
    "scheds": "schedules",
    "run": "runs",
    "task": "tasks",
    "deadletter": "deadletters",
    "dl": "deadletters",
    "event": "events",
    "ev": "events",
    "evs": "events",
    "worker": "workers",
    "relayer": "relayers",
    "breaker": "breakers",
    "limit": "limits",
    "chain": "chains",
    "set": "sets",
    "applyset": "sets",
    "applysets": "sets",
}
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MANIFEST_KINDS: Final[Mapping[Kind, "ManifestKind"]] = {
    "definitions": "ActivityDefinition",
    "subscriptions": "Subscription",
    "calendars": "Calendar",
    "sources": "EventSource",
}
"""The kind in a manifest of each kind of object that has a manifest."""

_NAMED_BY: Final[Mapping[Kind, tuple[Kind, ...]]] = {
    "schedules": ("subscriptions",),
    "deadletters": ("subscriptions", "runs"),
    "revisions": ("definitions",),
}
"""The kinds whose names also select objects of these kinds."""


def kind_of(word: str) -> Kind:
    """Return the kind of a plural, singular or short form; UsageError for an unknown word."""
    kind = known_kind(word)
    if kind is None:
        raise UsageError(f"unknown kind {word!r}", hint="kinds: " + ", ".join(KINDS))
    return kind


def manifest_kind_of(word: str) -> "ManifestKind":
    """Return the kind of manifest that the word means; UsageError for any other kind."""
    kind = kind_of(word)
    if kind not in MANIFEST_KINDS:
        raise UsageError(
            f"{kind} have no manifest", hint="use definition, subscription, calendar or source"
        )
    return MANIFEST_KINDS[kind]


def known_kind(word: str) -> Kind | None:
    """Return the kind of a plural, singular or short form; None for an unknown word."""
    lowered = word.lower()
    plurals: Mapping[str, Kind] = {kind: kind for kind in KINDS}
    return plurals.get(lowered) or SHORT_FORMS.get(lowered)


def singular(kind: Kind) -> str:
    """Return the word for one object of the kind, as in `run/3f2a`."""
    return kind.removesuffix("s")


def name_of(text: str, kind: Kind, *others: Kind) -> str:
    """Return the name in `KIND/NAME`, or the text itself if it begins with no kind.

    UsageError if KIND is neither `kind` nor one of the others. An event may have an id that
    begins with a kind and a slash, so for events another kind is part of the name.
    """
    word, slash, name = text.partition("/")
    found = known_kind(word) if slash else None
    if found in {kind, *others}:
        if not name:
            raise UsageError(f"no name after {word}/", hint=f"activityctl get {kind} -o name")
        return name
    if found is None or kind == "events":
        return text
    article = "an" if singular(kind)[0] in "aeiou" else "a"
    raise UsageError(
        f"{text} is not {article} {singular(kind)}", hint=f"activityctl get {kind} -o name"
    )


def kind_and_name(word: str, name: str | None) -> tuple[Kind, str | None]:
    """Return the kind and the name in `KIND`, `KIND NAME`, `KIND/NAME` or `KIND KIND/NAME`.

    UsageError for an unknown kind, and for a name of another kind.
    """
    kind = kind_of(word.partition("/")[0])
    if "/" in word:
        if name is not None:
            raise UsageError(f"{word} and {name} are two names", hint="give one name")
        return kind, name_of(word, kind)
    return kind, None if name is None else name_of(name, kind, *_NAMED_BY.get(kind, ()))
