"""Find out whose log is wanted: of subscriptions, of those with a label, or of one run."""

from collections.abc import Mapping, Sequence

from activityctl.domain.runs.run import Run
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError, RefusedError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.kinds import known_kind, name_of
from activityctl.ports import Catalog, RunLists


@frozen_dataclass
class LogOwners:
    """The subscriptions whose log is wanted, by id with their names; of one run if given."""

    names: Mapping[str, str]
    run_id: str | None = None


class LogSelection:
    """Finds subscriptions and runs by what a person wrote."""

    def __init__(self, catalog: Catalog, lists: RunLists) -> None:
        self._catalog = catalog
        self._lists = lists

    async def named(self, references: Sequence[str], run: str | None) -> LogOwners:
        """Return the subscriptions of these names or ids, or the one run that is named.

        A reference is a subscription, or a run; `run/ID` is always a run. The name of a
        subscription comes first: it may look like the beginning of an id. NotFoundError if there
        is none, ConflictError if a reference means several objects.
        """
        found = [await self._one(reference) for reference in references]
        runs = [one for one in found if one.run_id is not None]
        if runs and (len(found) > 1 or run is not None):
            other = "--run" if run is not None else "other names"
            raise UsageError(
                f"run/{runs[0].run_id} and {other} cannot be combined", hint="give one of them"
            )
        names = {owner: name for one in found for owner, name in one.names.items()}
        if run is None:
            return LogOwners(names, runs[0].run_id if runs else None)
        of_run = await self._lists.find_run(run)
        if of_run.subscription_id not in names:
            raise NotFoundError(
                f"run of {', '.join(names.values())}",
                run,
                hint=f"it is a run of {of_run.subscription}: activityctl logs run/{of_run.id}",
            )
        return _of_run(of_run)

    async def labelled(self, labels: Mapping[str, str]) -> LogOwners:
        """Return the subscriptions with these labels, all without labels.

        Raises NotFoundError if none has them, RefusedError if there is none at all.
        """
        found = await self._catalog.subscriptions(Selection(labels=labels, limit=None))
        if not found and not labels:
            raise RefusedError(
                "there is no subscription yet", hint="activityctl apply -f definitions/"
            )
        if not found:
            wanted = ",".join(f"{key}={value}" for key, value in labels.items())
            raise NotFoundError(
                "subscription with the label", wanted, hint="activityctl get subscriptions"
            )
        return LogOwners({each.id: each.name for each in found})

    async def _one(self, reference: str) -> LogOwners:
        word, slash, _ = reference.partition("/")
        if slash and known_kind(word) == "runs":
            return _of_run(await self._lists.find_run(name_of(reference, "runs")))
        name = name_of(reference, "subscriptions")
        try:
            owner = await self._catalog.find_subscription(name)
        except NotFoundError:
            if slash:
                raise
            return await self._run_or_nothing(reference)
        if owner.name != name and not slash:
            await self._check_no_run(reference, owner.name)
        return LogOwners({owner.id: owner.name})

    async def _run_or_nothing(self, reference: str) -> LogOwners:
        try:
            return _of_run(await self._lists.find_run(reference))
        except NotFoundError:
            raise NotFoundError(
                "subscription or run", reference, hint="activityctl get subscriptions"
            ) from None

    async def _check_no_run(self, reference: str, owner: str) -> None:
        """Raise ConflictError if the beginning of a subscription's id is also that of a run."""
        try:
            run = await self._lists.find_run(reference)
        except NotFoundError:
            return
        raise ConflictError(
            f'"{reference}" matches a subscription and a run',
            hint=f"write subscription/{owner} or run/{run.id}",
        )


def _of_run(run: Run) -> LogOwners:
    return LogOwners({run.subscription_id: run.subscription}, run.id)
