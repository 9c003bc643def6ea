"""The callbacks of apply, which tell whether a change may be stored when Ctrl-C is pressed."""

import pytest

from activityctl.errors import InvalidManifestsError
from activityctl.operations.gitops.apply import apply
from support.applying import NOW, World, definition, world
from support.manifests import Manifest, manifest_set, subscription


async def stages(here: World, calls: list[str], *manifests: Manifest) -> None:
    """Apply, and add the names of its callbacks to `calls` in their order."""
    ports = here.ports
    await apply(
        manifest_set(*manifests),
        ports.catalog,
        ports.register,
        ports.workers,
        lambda: NOW,
        timeout_seconds=0,
        on_write=lambda: calls.append("on_write"),
        on_pending=lambda _: calls.append("on_pending"),
    )


async def test_on_write_is_called_before_the_change_is_stored_and_on_pending_after():
    calls: list[str] = []
    await stages(world(), calls, definition(), subscription())
    assert calls == ["on_write", "on_pending"]


async def test_a_refused_apply_calls_nothing():
    calls: list[str] = []
    with pytest.raises(InvalidManifestsError):
        await stages(world(), calls, subscription())
    assert calls == []
