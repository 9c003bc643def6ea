"""Tells where each setting comes from, without the passwords in it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from activityctl.config_file import PROFILE_KEYS
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.secret import Secret, SecretReference, masked_url
from activityctl.setting_values import UNSET, Sourced, boolean, networks, span_text
from activityctl.settings import (
    LOCAL_RIGHTS,
    Settings,
    load_settings,
    merged_settings,
)


@frozen_dataclass
class SettingSource:
    """One setting with its value, without passwords, and its source."""

    name: str
    value: str | int | bool | list[str] | None
    source: str


def setting_sources(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> list[SettingSource]:
    """Return every setting as `load_settings` resolves it, with its source; mask passwords.

    If the local daemon is used, the settings of a worker are those of the local daemon's worker.
    """
    env = os.environ if environment is None else environment
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    settings = load_settings(given, env)
    _, sourced = merged_settings(given, env, settings.home)
    if settings.uses_local_daemon:
        settings, sourced = _in_local_daemon(settings, sourced)
    home = "flag --home" if "home" in given else "environment ACTIVITYCTL_HOME"
    if "home" not in given and not env.get("ACTIVITYCTL_HOME"):
        home = UNSET[1]
    sources = [SettingSource("home", str(settings.home), home)]
    for key in sorted(PROFILE_KEYS):
        value = getattr(settings, key)
        source = sourced.get(key, UNSET)[1]
        if isinstance(value, Secret):
            value = masked_url(value.value)
        if isinstance(value, SecretReference | Path):
            value = str(value)
        if isinstance(value, tuple):
            value = [str(item) for item in value]
        if isinstance(value, timedelta):
            value = span_text(value)
        sources.append(SettingSource(key, value, source))
    return sources


def _in_local_daemon(settings: Settings, sourced: Sourced) -> tuple[Settings, Sourced]:
    """Return the settings that apply in the local daemon's worker, which reads no profile."""
    rights = {
        name: (value, "local daemon, unless `up` was started with another value")
        for name, value in LOCAL_RIGHTS.items()
        if sourced.get(name, UNSET)[1].startswith((UNSET[1], "profile "))
    }
    resolved = {**sourced, **rights}
    applied = replace(
        settings,
        allow_commands=boolean("allow_commands", resolved),
        allow_http=boolean("allow_http", resolved),
        allowed_networks=networks("allowed_networks", resolved),
    )
    return applied, resolved
