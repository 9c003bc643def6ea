"""The verbs of manifests by the ports of Postgres, in this process."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from activityctl import wiring
from activityctl.cli.few_collections import few_collections
from activityctl.cli.render.progress import (
    event_progress,
    on_interrupt_say_recorded,
    on_interrupt_say_unknown,
    schedule_progress,
)
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session, now
from activityctl.cli.told_waits import told_wait
from activityctl.cli.verbs.gitops import (
    Differing,
    Events,
    Loaded,
    SavedText,
    ShownDeletion,
    ShownPlan,
    WaitOptions,
)
from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.gitops.plan import Kind, Plan
from activityctl.domain.gitops.trigger_impact import impact_view
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.apply import Applied, apply, apply_saved, wait_for_schedules
from activityctl.operations.gitops.credentials import with_credentials
from activityctl.operations.gitops.history import (
    delete,
    export,
    history,
    preview_deletion,
    roll_back,
)
from activityctl.operations.gitops.json_form import change_views, deletion_preview_view
from activityctl.operations.gitops.plan import Planned, differing, plan_of_files
from activityctl.operations.gitops.plan_impact import compare_with_events
from activityctl.operations.gitops.saved_plan import save
from activityctl.wiring import Ports


@frozen_dataclass
class LocalGitops:
    """Carries out each verb here."""

    session: Session
    ports: Ports

    async def plan(
        self, loaded: Loaded, events: Events | None = None, *, is_saved: bool = False
    ) -> ShownPlan:
        """Return what apply would change; secrets and keys are those of this machine."""
        planned = await self._planned(loaded)
        if events is not None:
            with event_progress(self.session) as show:
                impact = await compare_with_events(
                    self.ports.archive, planned.plan, planned.present, events.span, on_read=show
                )
            view = {**planned.view, "againstEvents": impact_view(impact)}
            planned = replace(planned, view=view)
        commit = self.session.origin.source_commit if is_saved else None
        text = save(planned, loaded.wanted, commit) if is_saved else None
        return ShownPlan(planned.view, text)

    async def review(self, loaded: Loaded) -> tuple[View, str]:
        """Return what apply would change, and the fingerprint with which it does only that."""
        planned = await self._planned(loaded)
        return planned.view, planned.fingerprint

    async def _planned(self, loaded: Loaded) -> Planned:
        catalog, lists = self.ports.catalog, self.ports.run_lists
        with few_collections():
            planned = await plan_of_files(loaded.manifests, loaded.wanted, catalog, lists, now)
        return self._with_credentials(loaded, planned)

    async def diff(self, loaded: Loaded) -> Sequence[Differing]:
        """Return the objects that differ from the manifests, without literal credentials."""
        ports, wanted = self.ports, replace(loaded.wanted, take_over=True)
        planned = await plan_of_files(loaded.manifests, wanted, ports.catalog, ports.run_lists, now)
        return differing(planned.plan, planned.present)

    def _with_credentials(self, loaded: Loaded, planned: Planned) -> Planned:
        settings = self.session.settings
        known = {secret.name for secret in wiring.open_secrets(settings).known()}
        return with_credentials(planned, loaded.manifests, known, wiring.open_keys(settings).known)

    async def apply(
        self, loaded: Loaded, options: WaitOptions, reviewed: str | None = None
    ) -> Applied:
        """Change the objects to match the manifests; only as `reviewed`, if given."""
        session, ports = self.session, self.ports
        if reviewed is not None:
            return await self._apply_reviewed(
                SavedText("", loaded.wanted, reviewed, session.origin), options
            )
        clock = await server_clock(ports)
        begun = asyncio.Event()
        with schedule_progress(session) as show, few_collections():

            def on_pending(count: int) -> None:
                begun.set()
                show(count)

            applying = apply(
                loaded.manifests,
                ports.catalog,
                ports.register,
                ports.workers,
                clock,
                timeout_seconds=options.seconds,
                wanted=loaded.wanted,
                origin=session.origin,
                on_write=partial(on_interrupt_say_unknown, session),
                on_pending=on_pending,
                wait_without_worker=options.wait_without_worker,
            )
            return await told_wait(session, ports, applying, begun=begun)

    async def apply_saved(self, saved: SavedText, options: WaitOptions) -> Applied:
        """Carry out a saved plan if it still fits."""
        return await self._apply_reviewed(saved, options)

    async def _apply_reviewed(self, saved: SavedText, options: WaitOptions) -> Applied:
        clock = await server_clock(self.ports)
        plan = await apply_saved(
            saved.wanted,
            saved.fingerprint,
            self.ports.catalog,
            clock(),
            saved.origin,
            on_write=partial(on_interrupt_say_unknown, self.session),
        )
        return await self._carried_out(plan, options)

    async def _carried_out(self, plan: Plan, options: WaitOptions) -> Applied:
        session, ports = self.session, self.ports
        on_interrupt_say_recorded(session)
        with schedule_progress(session) as on_pending:
            waiting = wait_for_schedules(
                plan,
                ports.register,
                ports.workers,
                timeout_seconds=options.seconds,
                on_pending=on_pending,
                wait_without_worker=options.wait_without_worker,
            )
            return await told_wait(session, ports, waiting, "the change is recorded")

    async def preview_deletion(self, kind: Kind, reference: str) -> ShownDeletion:
        """Return what deleting an object means."""
        ports = self.ports
        found = await preview_deletion(
            ports.catalog, ports.register, ports.run_lists, kind, reference
        )
        return ShownDeletion(deletion_preview_view(found), found.name, found.fingerprint)

    async def delete(
        self, kind: Kind, shown: ShownDeletion, options: WaitOptions, *, only_as_shown: bool
    ) -> Applied:
        """Delete an object."""
        plan = await delete(
            self.ports.catalog,
            kind,
            shown.name,
            await server_clock(self.ports),
            self.session.origin,
            made_against=shown.fingerprint if only_as_shown else None,
            on_write=partial(on_interrupt_say_unknown, self.session),
        )
        return await self._carried_out(plan, options)

    async def history(self, kind: Kind, name: str) -> Sequence[View]:
        """Return every change of an object, the newest first."""
        return change_views(await history(self.ports.catalog, kind, name))

    async def roll_back(
        self, kind: Kind, name: str, to: int | None, options: WaitOptions
    ) -> Applied:
        """Restore an earlier version of an object."""
        clock = await server_clock(self.ports)
        on_interrupt_say_unknown(self.session)
        plan = await roll_back(self.ports.catalog, kind, name, to, clock, self.session.origin)
        return await self._carried_out(plan, options)

    async def export(self, selection: Selection, kind: Kind | None) -> Sequence[Document]:
        """Return live objects as manifests, without literal credentials."""
        found = await export(self.ports.catalog, selection, kind)
        return [mask_literals(document) for document in found]
