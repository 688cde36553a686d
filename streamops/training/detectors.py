"""River's drift detectors behind one interface: ADWIN, Page-Hinkley and DDM on an error stream.

Rule 1: a drift resets the detector; the next error starts it anew.
Rule 2: their floats are river's own, so what they conclude holds for one version and machine:
        `platform` names both.
"""

from __future__ import annotations

import platform as machine
from functools import partial
from importlib.metadata import version
from typing import Any

from streamops.core.detect import Detector
from streamops.core.error_stream import Level
from streamops.errors import ConfigError
from streamops.training import artifacts
from streamops.training.own_detectors import ServedDetector

NAMES = ("adwin", "page_hinkley", "ddm")
SEALED = "detector"
# The square of a larger error may be infinite, and a variance is no number from then on.
ERROR_MAX = 1e100


def platform_name() -> str:
    """Return library, version, machine and Python that a conclusion holds on."""
    return f"river {version('river')}, {machine.machine()}, Python {machine.python_version()}"


class RiverDetector:
    """One detector and the place where it last put a change.

    name  adwin (Bifet & Gavaldà 2007), page_hinkley (Page 1954), ddm (Gama et al. 2004)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._inner = _make(name)
        self._seen = 0
        self._since_start = 0
        self._since_back = 0

    @property
    def platform(self) -> str:
        """Library, version and machine: what its conclusions hold on."""
        return platform_name()

    @property
    def reason(self) -> str:
        """Why it failed: it never says so."""
        return ""

    @property
    def since_back(self) -> int:
        """How many outcomes ago the last detection puts the change.

        ADWIN: the window it kept. Page-Hinkley and DDM: since their minimum was last set.
        """
        return self._since_back

    def update(self, error: float) -> Level:
        """Take the next error (0 or 1; an absolute error for adwin and page_hinkley)."""
        self._seen += 1
        before = _minimum(self.name, self._inner)
        self._inner.update(_input(self.name, error))
        if _minimum(self.name, self._inner) != before:
            self._since_start = self._seen
        level = _level(self._inner)
        if level != "none":
            self._since_back = self._distance()
        if level == "drift":
            self._inner = _make(self.name)
            self._seen = self._since_start = 0
        return level

    def dump(self, key: bytes) -> bytes:
        """Return the state under a keyed hash."""
        state = (self.name, self._inner, self._seen, self._since_start, self._since_back)
        return artifacts.seal(key, SEALED, state)

    @classmethod
    def load(cls, data: bytes, key: bytes) -> RiverDetector:
        """Return the detector that `dump` wrote; raises InputError unless the key is the same."""
        name, inner, seen, since_start, since_back = artifacts.unseal(key, SEALED, data)
        detector = cls(name)
        detector._inner, detector._seen = inner, seen
        detector._since_start, detector._since_back = since_start, since_back
        return detector

    def _distance(self) -> int:
        if self.name == "adwin":
            return min(self._seen, int(self._inner.width))
        return self._seen - self._since_start


def make_detector(name: str) -> Detector:
    """Return a new detector: river's, or a user's; raises ConfigError for an unknown name."""
    return ServedDetector(name) if ":" in name else RiverDetector(name)


def make_audited(name: str) -> Detector:
    """Return a new detector for an audit: a user's is silent where its source isn't here."""
    return ServedDetector(name, is_audit=True) if ":" in name else RiverDetector(name)


def _make(name: str) -> Any:
    from river import drift

    makers: dict[str, Any] = {
        "adwin": drift.ADWIN,
        "page_hinkley": partial(drift.PageHinkley, mode="up"),
        "ddm": drift.binary.DDM,
    }
    if name not in makers:
        raise ConfigError(f"detector is {name!r}; use one of {', '.join(NAMES)}")
    return makers[name]()


def _input(name: str, error: float) -> float | bool:
    return error > 0 if name == "ddm" else min(error, ERROR_MAX)


def _minimum(name: str, inner: Any) -> float | None:
    if name == "page_hinkley":
        return float(inner._min_increase)
    return float(inner._ps_min) if name == "ddm" else None


def _level(inner: Any) -> Level:
    if inner.drift_detected:
        return "drift"
    return "warning" if getattr(inner, "warning_detected", False) else "none"
