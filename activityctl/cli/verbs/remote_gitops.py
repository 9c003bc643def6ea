"""The verbs of manifests by the HTTP API, which reads the files that are sent."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from activityctl.adapters.remote.client import ApiClient
from activityctl.adapters.remote.stores import segment
from activityctl.cli.render.progress import on_interrupt_say_unknown
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import (
    Differing,
    Events,
    Loaded,
    SavedText,
    ShownDeletion,
    ShownPlan,
    WaitOptions,
)
from activityctl.domain.gitops.plan import Action, Change, Kind, Plan
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.apply import Applied
from activityctl.operations.looking.kinds import MANIFEST_KINDS

_LONGEST_WAIT: Final = 60.0
"""How long the API waits for schedules in one request."""
_PATHS: Final[Mapping[Kind, str]] = {kind: word for word, kind in MANIFEST_KINDS.items()}


@frozen_dataclass
class RemoteGitops:
    """Sends each verb to the API."""

    session: Session
    api: ApiClient

    async def plan(
        self, loaded: Loaded, events: Events | None = None, *, is_saved: bool = False
    ) -> ShownPlan:
        """Return what apply would change; secrets and keys are those of the server."""
        params = _options(loaded)
        if events is not None:
            params |= {"since": events.since, "until": events.until}
        if not is_saved:
            return ShownPlan(await self._planned(loaded, params))
        params |= {"sourceCommit": self.session.origin.source_commit, "save": "true"}
        saved = await self._planned(loaded, params)
        return ShownPlan(saved["plan"], json.dumps(saved, indent=2) + "\n")

    async def review(self, loaded: Loaded) -> tuple[View, str]:
        """Return what apply would change, and the fingerprint with which it does only that."""
        saved = await self._planned(loaded, {**_options(loaded), "save": "true"})
        return saved["plan"], saved["fingerprint"]

    async def _planned(self, loaded: Loaded, params: Mapping[str, str | None]) -> dict[str, Any]:
        path, files = "/v1/manifests/plan", _files(loaded)
        answer = await self.api.ask("POST", path, files, params=params, is_harmless=True)
        found: dict[str, Any] = answer.value
        return found

    async def diff(self, loaded: Loaded) -> Sequence[Differing]:
        """Return the objects that differ from the manifests, without literal credentials."""
        answer = await self.api.ask(
            "POST", "/v1/manifests/diff", _files(loaded), params=_options(loaded), is_harmless=True
        )
        return [(each["name"], each["live"], each["wanted"]) for each in answer.value["items"]]

    async def apply(
        self, loaded: Loaded, options: WaitOptions, reviewed: str | None = None
    ) -> Applied:
        """Change the objects to match the manifests; only as `reviewed`, if given."""
        commit = self.session.origin.source_commit
        params = {**_options(loaded), "sourceCommit": commit}
        return await self._change("/v1/manifests/apply", _files(loaded), options, params, reviewed)

    async def apply_saved(self, saved: SavedText, options: WaitOptions) -> Applied:
        """Carry out a saved plan if it still fits."""
        return await self._change("/v1/manifests/apply", json.loads(saved.text), options)

    async def _change(  # what a request has
        self,
        path: str,
        body: Any,
        options: WaitOptions,
        params: Mapping[str, Any] | None = None,
        tag: str | None = None,
        method: str = "POST",
    ) -> Applied:
        """Send what changes objects, with a key by which the server knows a repeat."""
        on_interrupt_say_unknown(self.session)
        seconds = min(options.seconds, _LONGEST_WAIT)
        waits = {"wait": f"{seconds:g}"}
        if options.wait_without_worker:
            waits["waitWithoutWorker"] = "true"
        answer = await self.api.ask(
            method,
            path,
            body,
            params={**(params or {}), **waits},
            tag=tag,
            key=str(uuid.uuid4()),
            seconds=seconds,
        )
        return applied_of(answer.value)

    async def preview_deletion(self, kind: Kind, reference: str) -> ShownDeletion:
        """Return what deleting an object means."""
        path = f"/v1/{_PATHS[kind]}/{segment(reference)}"
        answer = await self.api.ask("DELETE", path, params={"dryRun": "true"}, is_harmless=True)
        (change,) = answer.value["changes"]
        return ShownDeletion(answer.value, change["name"], answer.tag or "")

    async def delete(
        self, kind: Kind, shown: ShownDeletion, options: WaitOptions, *, only_as_shown: bool
    ) -> Applied:
        """Delete an object."""
        path = f"/v1/{_PATHS[kind]}/{segment(shown.name)}"
        tag = shown.fingerprint if only_as_shown else None
        return await self._change(path, None, options, tag=tag, method="DELETE")

    async def history(self, kind: Kind, name: str) -> Sequence[View]:
        """Return every change of an object, the newest first; at most a thousand."""
        answer = await self.api.get(f"/v1/{_PATHS[kind]}/{segment(name)}/history")
        items: list[View] = answer["items"]
        return items

    async def roll_back(
        self, kind: Kind, name: str, to: int | None, options: WaitOptions
    ) -> Applied:
        """Restore an earlier version of an object."""
        path = f"/v1/{_PATHS[kind]}/{segment(name)}/rollback"
        return await self._change(path, {"to": to}, options)

    async def export(self, selection: Selection, kind: Kind | None) -> Sequence[Document]:
        """Return live objects as manifests, without literal credentials."""
        labels = [f"{key}={value}" for key, value in selection.labels.items()]
        word = None if kind is None else _PATHS[kind]
        try:
            answer = await self.api.get(
                "/v1/export", {"kind": word, "name": selection.name, "label": labels}
            )
        except NotFoundError:
            return []  # the command names what is absent
        items: list[Document] = answer["items"]
        return items


def applied_of(view: Mapping[str, Any]) -> Applied:
    """Return what apply did, of its JSON."""
    changes = tuple(
        Change(
            each["kind"],
            each["name"],
            Action(each["action"]),
            renamed_from=each.get("renamedFrom"),
        )
        for each in view["changes"]
    )
    schedules = view["schedules"]
    errors, refused = tuple(schedules["errors"]), schedules["refused"]
    return Applied(
        Plan({}, {}, {}, changes, view["applyset"]),
        schedules["pending"],
        schedules["hasWorker"],
        errors[:refused],
        errors[refused:],
    )


def _options(loaded: Loaded) -> dict[str, Any]:
    wanted = loaded.wanted
    given = {
        "prune": wanted.prune,
        "takeOver": wanted.take_over,
        "allowEmpty": wanted.allow_empty,
    }
    return {"applyset": wanted.applyset, **{name: "true" for name, on in given.items() if on}}


def _files(loaded: Loaded) -> dict[str, Any]:
    return {
        "files": [_file(name, content) for name, content in loaded.files.manifests],
        "icalFiles": [_file(name, content) for name, content in loaded.files.icals.items()],
        "unread": [
            {"kind": kind, "name": name, "file": file}
            for (kind, name), file in loaded.wanted.unread.items()
        ],
    }


def _file(name: str, content: bytes) -> dict[str, str]:
    return {"name": name, "content": content.decode("utf-8", "replace")}
