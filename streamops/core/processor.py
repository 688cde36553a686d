"""What a processor is: `initial` and `step`, nothing else.

Rule 1: `step` gets one epoch's records in their fixed order and returns a new state and outputs; it
        never changes the state it got (the join table is a port and the one exception).
Rule 2: a processor is given no clock, producer or callback; all it can do is return outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from streamops import codec
from streamops.events import Event
from streamops.values import Fault

S = TypeVar("S")


class Refusal(NamedTuple):
    """A record that decode could not use: why, and whose fault."""

    reason: str
    fault: Fault = "producer"


class Record(NamedTuple):
    """One record of the log, decoded; `append_ms` is the broker's append time, ms since 1970."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes
    value: bytes
    event: Event | Refusal


class Batch(NamedTuple):
    """One epoch's input, ordered; `time` is its closing tick's (None without a raw input)."""

    epoch: int
    time: datetime | None
    records: Sequence[Record]


class Output(NamedTuple):
    """An event to write. Its partition follows from `key`, unless `partition` is given.

    made        the event, or None where only the bytes of its conclusion were made
    evidence    its evidence as canonical JSON, where the event itself carries none
    conclusion  those bytes; then there is evidence too
    """

    topic: str
    key: str
    made: Event | None
    partition: int | None = None
    evidence: bytes = b""
    conclusion: bytes = b""

    @property
    def event(self) -> Event:
        """The event; read from its bytes where only they were made."""
        return codec.decode(self.conclusion) if self.made is None else self.made


class Closing(NamedTuple):
    """Topics whose epochs a processor closes, in every partition or only in its own."""

    topics: tuple[str, ...]
    scope: Literal["all", "own"]


class Processor(Protocol, Generic[S]):
    """A pure fold over epochs.

    name       first half of its sources' names, as in meter/0
    semantics  grows when code changes a byte of a conclusion (DESIGN rule 11)
    raw        input topics cut by ticks, in their fixed order
    derived    input topics closed by their sources, with the names of the processors behind them
    closing    topics it closes
    """

    @property
    def name(self) -> str: ...
    @property
    def semantics(self) -> int: ...
    @property
    def raw(self) -> tuple[str, ...]: ...
    @property
    def derived(self) -> dict[str, tuple[str, ...]]: ...
    @property
    def closing(self) -> Closing: ...

    def initial(self) -> S:
        """Return the state before the first epoch."""
        ...

    def step(self, state: S, batch: Batch) -> tuple[S, Sequence[Output]]:
        """Fold one epoch: return the new state and what to write, in order."""
        ...
