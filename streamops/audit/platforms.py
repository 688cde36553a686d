"""What a detector's conclusions hold on, and whether this process can draw them again.

Rule 1: nothing that an archive names is run to find that out: sources are read and hashed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from streamops.audit.ledger import FOREIGN, OTHER_CODE
from streamops.core.error_tests import PLATFORM
from streamops.errors import ConfigError
from streamops.events import DriftDetected
from streamops.training.own_detectors import CODE_SHOWN, platform_here


class Platforms:
    """The platforms of this process.

    river  tells that of river's detectors; river is slow to load, and asked for where it is needed
    """

    def __init__(self, river: Callable[[], str]) -> None:
        self._river = cache(river)
        self._here: dict[str, str] = {}

    def why_foreign(self, event: DriftDetected) -> str:
        """Return why an event can't be concluded here; empty where it can."""
        name, platform = event.detector, event.platform
        if platform == PLATFORM or platform == self._river():
            return ""
        if ":" not in name or not platform.startswith(f"{name} "):
            return f"{FOREIGN}{platform}"
        here = self._at(name)
        if not here.startswith(f"{name} "):
            return f"{OTHER_CODE}{name} isn't here: {here}"
        if platform == here:
            return ""
        then, now = (_code(text, name) for text in (platform, here))
        if then != now:
            return (
                f"{OTHER_CODE}{name}: the detector's code differs: it was {then}, here it is {now}"
            )
        return f"{FOREIGN}{platform}"

    def _at(self, name: str) -> str:
        if name not in self._here:
            try:
                self._here[name] = platform_here(name)
            except ConfigError as error:
                self._here[name] = str(error)
        return self._here[name]


def _code(platform: str, name: str) -> str:
    return platform.removeprefix(f"{name} ")[:CODE_SHOWN]
