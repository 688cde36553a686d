"""Whether the fold can count with a version or a configuration that stands on the log.

Rule 1: who asks gets a reason, never an exception: a record must not end a fold.
Rule 2: CONTROLLER refuses what doesn't fit, so no true activation is unfit. METER asks again: where
        applications may write, a stranger can write an activation too.
"""

from __future__ import annotations

from streamops.config import ModelConfig, check_config, config_hash
from streamops.errors import ConfigError, InputError
from streamops.events import ConfigActivated, ConfigApplied, ModelRegistered, VersionActivated
from streamops.values import ModelVersion
from streamops.versions import check_version


def unfit(
    event: ModelRegistered | ConfigApplied | VersionActivated | ConfigActivated,
) -> str | None:
    """Return why this can't be activated, or None; who broadcasts leaves it alone as well."""
    if isinstance(event, ModelRegistered | VersionActivated):
        return _unfit_version(event.version)
    return _unfit_config(event.config, event.config_hash)


def _unfit_version(version: ModelVersion) -> str | None:
    try:
        check_version(version)
    except InputError as error:
        return str(error)
    return None


def another_profile(version: ModelVersion) -> str:
    """Return why a version isn't activated that is active with other edges."""
    return (
        f"version is {version.version!r} of model {version.model!r}, active with another profile: "
        "panes can't be counted in both; register it under a new name"
    )


def _unfit_config(config: ModelConfig, hashed: str) -> str | None:
    try:
        right = config_hash(check_config(config))
    except ConfigError as error:
        return str(error)
    return (
        None if right == hashed else f"config_hash is {hashed!r}; this configuration's is {right}"
    )
