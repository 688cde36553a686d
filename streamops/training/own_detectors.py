"""A user's detector in service: `module:function` of one source, behind DETECT's port.

Rule 1: a configuration names the SHA-256 of the module's source. Only that very source is run: it
        is read, hashed and executed from the same bytes, whatever was imported before.
Rule 2: the state is its bytes. Each step decodes them and encodes what comes out, so a restart,
        anywhere, changes nothing, and a state that can't be kept fails at the outcome that made it.
Rule 3: what it raises is said once, as a level; it rests for REST_OUTCOMES, then begins anew.
Rule 4: where the source isn't there, what it says from then on follows from more than the log: its
        platform names the outcome that it began anew at, and no audit takes it for its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import platform as machine
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec.structs import replace

from streamops.config import ModelConfig
from streamops.core.error_stream import Level
from streamops.errors import ConfigError
from streamops.training.modules import current_folder

STATE_BYTES_MAX = 65_536
REST_OUTCOMES = 1000
REASON_MAX = 500
CODE_SHOWN = 12
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class OwnDetector(Protocol):
    """What a user's detector has."""

    def initial(self) -> Any:
        """Return the state before the first outcome."""
        ...

    def step(self, state: Any, error: float) -> tuple[Any, int]:
        """Return the next state, and since how many outcomes; 0 for no alarm."""
        ...


Make = Callable[[], OwnDetector]


def checked(make: Any) -> Make:
    """Return the function that makes detectors, or raise ConfigError for what makes none."""
    try:
        found = make()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"detector can't be made ({_said(error)})") from None
    for name in ("initial", "step"):
        if not callable(getattr(found, name, None)):
            raise ConfigError(f"detector is {found!r}, which has no {name}(): see `--help`")
    return make  # type: ignore[no-any-return]


def with_code(config: ModelConfig) -> ModelConfig:
    """Return a configuration that names the source of each of its own detectors.

    What it names already stays. Raises ConfigError for a module that can't be found from here, or
    that makes no detector.
    """
    own = [name for name in config.detectors if ":" in name and name not in config.detector_code]
    if not own:
        return config
    codes = {name: code_of(name) for name in own}
    for name, code in codes.items():
        loaded(name, code)
    return replace(config, detector_code={**config.detector_code, **codes})


def code_of(name: str) -> str:
    """Return the SHA-256 (hex) of the source of `module:function`; nothing of it is run.

    Raises ConfigError for a module that isn't found, has no source, or is Python's own.
    """
    return hashlib.sha256(_source(name)[1]).hexdigest()


def platform_here(name: str) -> str:
    """Return what this detector's conclusions hold on here; raises ConfigError if it isn't here."""
    return platform_of(name, code_of(name))


def platform_of(name: str, code: str) -> str:
    """Return what a conclusion of this detector holds on: its source, machine and Python."""
    return f"{name} {code[:CODE_SHOWN]}, {machine.machine()}, Python {machine.python_version()}"


@lru_cache(maxsize=64)
def loaded(name: str, code: str) -> OwnDetector:
    """Return a detector of this very source; raises ConfigError where it isn't here."""
    if not code:
        raise ConfigError(f"detector {name} has no detector_code: `streamops apply` fills it in")
    spec, source = _source(name)
    here = hashlib.sha256(source).hexdigest()
    if here != code:
        raise ConfigError(
            f"the code of detector {name} differs: the configuration names {code[:CODE_SHOWN]}, "
            f"{spec.origin} is {here[:CODE_SHOWN]}; apply the configuration again"
        )
    function = getattr(_executed(spec, source), name.partition(":")[2], None)
    return checked(function)()


def _executed(spec: ModuleSpec, source: bytes) -> Any:
    parent = spec.name.rpartition(".")[0]
    try:
        # What a module prints as it is loaded is no result of a command.
        with current_folder(), contextlib.redirect_stdout(sys.stderr):
            if parent:
                importlib.import_module(parent)
            module = importlib.util.module_from_spec(spec)
            # Structs look their own module up to read their types.
            sys.modules[spec.name] = module
            exec(compile(source, str(spec.origin), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        sys.modules.pop(spec.name, None)
        raise ConfigError(f"module {spec.name} can't be loaded ({_said(error)})") from None
    return module


def _source(name: str) -> tuple[ModuleSpec, bytes]:
    """Return where a module is, and its source, without importing anything."""
    module = name.partition(":")[0]
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ConfigError(f"detector is {name!r}, a module of Python itself; name one of yours")
    found, path = None, None
    with current_folder():
        importlib.invalidate_caches()
        parts = module.split(".")
        for at in range(len(parts)):
            found = PathFinder.find_spec(".".join(parts[: at + 1]), path)
            path = None if found is None else list(found.submodule_search_locations or ())
            if found is None:
                break
    if found is None or not str(found.origin).endswith(".py"):
        raise ConfigError(
            f"detector is {name!r}, whose module {module} isn't found here; put its source on "
            "PYTHONPATH or into the current folder"
        )
    try:
        return found, Path(str(found.origin)).read_bytes()
    except OSError as error:
        raise ConfigError(f"detector is {name!r}: {error}") from None


class ServedDetector:
    """One user's detector over one version's errors, as DETECT's bank keeps it.

    name      module:function@code
    is_audit  where the source isn't here it says nothing, instead of that it isn't
    """

    def __init__(self, name: str, *, is_audit: bool = False) -> None:
        self._name, _, self._code = name.partition("@")
        self._is_audit = is_audit
        self._state = b""
        self._seen = self._rest = self._since_back = 0
        self._anew = 0
        self._reason = ""

    @property
    def platform(self) -> str:
        """What its conclusions hold on, and where it began anew if the log doesn't say so."""
        found = platform_of(self._name, self._code)
        return f"{found}, begun anew after its outcome {self._anew}" if self._anew else found

    @property
    def since_back(self) -> int:
        """How many outcomes ago the last detection puts the change."""
        return self._since_back

    @property
    def reason(self) -> str:
        """Why it failed; empty unless its last level says so."""
        return self._reason

    def update(self, error: float) -> Level:
        """Take the next error, 0 or 1, or a regression's distance."""
        self._seen += 1
        self._reason = ""
        if self._rest:
            self._rest -= 1
            return "none"
        try:
            inner = loaded(self._name, self._code)
        except ConfigError as why:
            self._anew = self._seen
            level = self._fail(str(why))
            return "none" if self._is_audit else level
        try:
            return self._step(inner, error)
        except (Exception, SystemExit) as why:
            return self._fail(_said(why))

    def _step(self, inner: OwnDetector, error: float) -> Level:
        first = inner.initial()
        state = first
        if self._state:
            state = msgspec.msgpack.decode(self._state, type=type(first))
        state, age = inner.step(state, error)
        if isinstance(age, bool) or not isinstance(age, int | np.integer) or age < 0:
            raise ValueError(f"step returned {age!r}, which is no count of outcomes")
        data = msgspec.msgpack.encode(state)
        if len(data) > STATE_BYTES_MAX:
            raise ValueError(f"its state takes {len(data):,} bytes; {STATE_BYTES_MAX:,} at most")
        self._state = data
        if not age:
            return "none"
        self._since_back = int(age)
        return "drift"

    def _fail(self, reason: str) -> Level:
        self._state, self._rest, self._since_back = b"", REST_OUTCOMES, 0
        self._reason = reason
        return "failed"


def _said(error: BaseException) -> str:
    """Return an exception as text that is the same in every run, and can be written."""
    try:
        text = str(error)
    except Exception:
        text = ""
    text = _ADDRESS.sub("0x", f"{type(error).__name__}: {text}")
    return text.encode(errors="replace").decode()[:REASON_MAX]
