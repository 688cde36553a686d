"""A user's detector put to the laws of a fold: what must hold before any figure of it counts.

A detector is a processor of errors: `initial()` returns its state, `step(state, error)` the next
state and how many outcomes ago the change began, 0 for no alarm. It begins anew after an alarm by
itself. Its state is plain data or a msgspec struct, all that it knows.

Rule 1: laws are checked on streams that alarm and streams that don't, cut at many places.
Rule 2: what a detector raises is its own fault, and is named; nothing of it ends the check.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from streamops.training.own_detectors import STATE_BYTES_MAX, Make, OwnDetector

OUTCOMES = 2_000
CUTS = (1, 2, 50, 333, 999, 1000, 1500)
CHILD_S = 120
# Python's order of sets and of texts' hashes differs between these.
HASH_SEEDS = ("1", "2")

Alarm = tuple[int, int]


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """One law: what it asks, whether it holds, and what was seen where it doesn't."""

    name: str
    asks: str
    holds: bool
    seen: str = ""


Check = Callable[[Make, Sequence[float]], str]


def laws(make: Make, where: str = "") -> Iterator[Law]:
    """Yield each law with its verdict.

    where  module:function: its conclusions are compared in other processes, too
    """
    streams = _streams()
    for name, (asks, check) in _LAWS.items():
        yield _judged(name, asks, partial(_first, check, make, streams))
    if where:
        asks = "other processes, with other seeds of Python's hashes, say the same, byte by byte"
        yield _judged("processes", asks, lambda: _elsewhere(where, make))


def _judged(name: str, asks: str, check: Callable[[], str]) -> Law:
    try:
        seen = check()
    except Exception as error:
        seen = f"it raised {type(error).__name__}: {error}"
    return Law(name=name, asks=asks, holds=not seen, seen=seen)


def _first(check: Check, make: Make, streams: Iterable[list[float]]) -> str:
    return next((seen for stream in streams if (seen := check(make, stream))), "")


def _streams() -> list[list[float]]:
    """A rate that stays, one that rises twice, one that is 0, then 1."""
    rng = np.random.default_rng(7)
    half = OUTCOMES // 2
    calm = rng.random(OUTCOMES) < 0.2
    rising = rng.random(OUTCOMES) < np.repeat([0.05, 0.5, 0.05, 0.6], half // 2)
    edge = np.repeat([0.0, 1.0], half)
    return [np.asarray(s, dtype=np.float64).tolist() for s in (calm, rising, edge)]


def alarms_of(
    detector: OwnDetector, errors: Iterable[float], state: Any = None
) -> tuple[Any, list[Alarm]]:
    """Fold errors from a state, the first if none; return the last, and alarms (outcome, age)."""
    state = detector.initial() if state is None else state
    found = []
    for number, error in enumerate(errors, 1):
        state, age = detector.step(state, error)
        if age:
            found.append((number, int(age)))
    return state, found


def digest(make: Make) -> str:
    """Return the SHA-256 over alarms and last states of all streams."""
    running = hashlib.sha256()
    for stream in _streams():
        state, found = alarms_of(make(), stream)
        running.update(msgspec.msgpack.encode((state, found)))
    return running.hexdigest()


def _deterministic(make: Make, errors: Sequence[float]) -> str:
    first, second = (alarms_of(make(), errors) for _ in range(2))
    if first[1] != second[1]:
        return f"alarms {first[1][:3]} and {second[1][:3]} on the same outcomes"
    same = msgspec.msgpack.encode(first[0]) == msgspec.msgpack.encode(second[0])
    return "" if same else "two runs end in different states"


def _ages(make: Make, errors: Sequence[float]) -> str:
    detector = make()
    state = detector.initial()
    since = 0
    for number, error in enumerate(errors, 1):
        state, age = detector.step(state, error)
        since += 1
        if isinstance(age, bool) or not isinstance(age, int | np.integer) or age < 0:
            return f"outcome {number}: {age!r} is no count of outcomes, 0 for no alarm"
        if age > since:
            return f"outcome {number}: {age} outcomes ago, and it has read {since} since it began"
        since = 0 if age else since
    return ""


def _untouched(make: Make, errors: Sequence[float]) -> str:
    detector = make()
    state = detector.initial()
    for number, error in enumerate(errors[:500], 1):
        before = msgspec.msgpack.encode(state)
        after, _ = detector.step(state, error)
        if msgspec.msgpack.encode(state) != before:
            return f"outcome {number}: step changed the state that it got"
        state = after
    return ""


def _bytes(make: Make, errors: Sequence[float]) -> str:
    """Stop, encode, decode into a detector that is new, go on: as if nothing had been."""
    whole = alarms_of(make(), errors)
    for cut in CUTS:
        state, before = alarms_of(make(), errors[:cut])
        data = msgspec.msgpack.encode(state)
        read = msgspec.msgpack.decode(data, type=type(make().initial()))
        if msgspec.msgpack.encode(read) != data:
            return f"after outcome {cut}: the state read from its bytes has other bytes"
        last, after = alarms_of(make(), errors[cut:], read)
        found = before + [(number + cut, age) for number, age in after]
        if (msgspec.msgpack.encode(last), found) != (msgspec.msgpack.encode(whole[0]), whole[1]):
            return f"after outcome {cut}: a restart from the state's bytes ends elsewhere"
    return ""


def _replayed(make: Make, errors: Sequence[float]) -> str:
    """One detector, the same outcomes again: nothing of the first time may be left in it."""
    detector = make()
    first, second = alarms_of(detector, errors), alarms_of(detector, errors)
    return "" if first[1] == second[1] else "a replay with the same detector alarms elsewhere"


def _split(make: Make, errors: Sequence[float]) -> str:
    """Outcomes of two versions, dealt out in batches to one detector, each with its own state."""
    whole = alarms_of(make(), errors)[1]
    detector = make()
    states: list[Any] = [None, None]
    found: list[list[Alarm]] = [[], []]
    ends = [*CUTS, len(errors)]
    for start, end in zip([0, *CUTS], ends, strict=True):
        for own in range(2):
            states[own], some = alarms_of(detector, errors[start:end], states[own])
            found[own] += [(number + start, age) for number, age in some]
    return "" if found == [whole, whole] else "batches of two streams, one after the other, mix"


def _bounded(make: Make, errors: Sequence[float]) -> str:
    state, _ = alarms_of(make(), list(errors) * 5)
    size = len(msgspec.msgpack.encode(state))
    if size > STATE_BYTES_MAX:
        return f"{size:,} bytes after {5 * len(errors):,} outcomes; {STATE_BYTES_MAX:,} at most"
    return ""


def _elsewhere(where: str, make: Make) -> str:
    own = digest(make)
    for seed in HASH_SEEDS:
        done = subprocess.run(
            [sys.executable, "-m", "streamops.bench.own_detector", where],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=CHILD_S,
            check=False,
        )
        if done.returncode:
            return f"it can't be loaded in another process: {done.stderr.strip()[-200:]}"
        if done.stdout.split()[-1:] != [own]:
            return f"another process (PYTHONHASHSEED={seed}) says something else"
    return ""


_LAWS: dict[str, tuple[str, Check]] = {
    "alarms": ("an alarm is how many outcomes ago the change began, 0 is none", _ages),
    "determinism": ("the same outcomes make the same alarms and the same state", _deterministic),
    "state": ("step leaves the state that it got as it was", _untouched),
    "bytes": ("a restart from the state's bytes, anywhere, changes nothing", _bytes),
    "replay": ("the same detector says the same of a stream it has read before", _replayed),
    "split": ("streams in batches, one after the other, don't touch each other", _split),
    "size": ("the state stays small however long the stream is", _bounded),
}


if __name__ == "__main__":
    from streamops.training.fitting import load_function

    sys.path.insert(0, os.getcwd())
    print(digest(load_function(sys.argv[1])))
