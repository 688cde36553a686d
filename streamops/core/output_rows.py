"""Outputs as columns, so that none needs an object of its own from release to producer.

Rule 1: rows are sequences of what they stand for; whoever asks for one gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar, overload

from streamops import codec
from streamops.core.processor import Output
from streamops.events import Event

T = TypeVar("T")


class Addressed(NamedTuple):
    """A stamped event with the partition it goes to; None leaves it to the key.

    Either the event is made, or its bytes are known, or both.
    """

    topic: str
    partition: int | None
    key: str
    made: Event | None
    value: bytes = b""

    @property
    def event(self) -> Event:
        """The event; read from its bytes where only they were made."""
        return codec.decode(self.value) if self.made is None else self.made


class OutputRows(Sequence[Output]):
    """Encoded outputs for one topic that is closed: a column for each of what they bring.

    evidence  columns of parts; joined, they are the evidence of each
    bodies    conclusions, each without the brace that closes it: the stamp goes before that
    """

    __slots__ = ("bodies", "evidence", "keys", "topic")

    def __init__(
        self,
        topic: str,
        keys: Sequence[str],
        evidence: Sequence[Sequence[bytes]],
        bodies: Sequence[bytes],
    ) -> None:
        self.topic, self.keys = topic, keys
        self.evidence, self.bodies = evidence, bodies

    @property
    def size_max(self) -> int:
        """Bytes of the largest conclusion."""
        return max(map(len, self.bodies), default=0) + 1

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Output: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Output]: ...
    def __getitem__(self, at: int | slice) -> Output | Sequence[Output]:
        return list(self)[at]

    def __iter__(self) -> Iterator[Output]:
        evidence = map(b"".join, zip(*self.evidence, strict=True))
        for key, each, body in zip(self.keys, evidence, self.bodies, strict=True):
            yield Output(self.topic, key, None, None, each, body + b"}")


class AddressedRows(Sequence[Addressed]):
    """Stamped and encoded records for one topic, as columns."""

    __slots__ = ("keys", "partitions", "topic", "values")

    def __init__(
        self, topic: str, partitions: Sequence[int], keys: Sequence[str], values: Sequence[bytes]
    ) -> None:
        self.topic, self.partitions, self.keys, self.values = topic, partitions, keys, values

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Addressed: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Addressed]: ...
    def __getitem__(self, at: int | slice) -> Addressed | Sequence[Addressed]:
        return list(self)[at]

    def __iter__(self) -> Iterator[Addressed]:
        for partition, key, value in zip(self.partitions, self.keys, self.values, strict=True):
            yield Addressed(self.topic, partition, key, None, value)


class Mixed(Sequence[T]):
    """Single things and rows of them, one behind the other.

    parts  lists and rows
    """

    __slots__ = ("parts",)

    def __init__(self, singles: Iterable[T] = ()) -> None:
        self.parts: list[Sequence[T]] = [list(singles)]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        return list(self)[at]

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __iadd__(self, some: Iterable[T]) -> Mixed[T]:
        for part in parts_of(some):
            if is_rows(part):
                self.parts.append(part)
            else:
                self._singles().extend(part)
        return self

    def append(self, one: T) -> None:
        """Take one more."""
        self._singles().append(one)

    def _singles(self) -> list[T]:
        last = self.parts[-1]
        if isinstance(last, list):
            return last
        singles: list[T] = []
        self.parts.append(singles)
        return singles


def is_rows(part: object) -> bool:
    """Tell whether a part is rows, which stay together."""
    # By type: `isinstance` asks abstract classes in Python code, a microsecond each.
    return type(part) in _ROWS


def parts_of(some: Iterable[T]) -> Sequence[Sequence[T]]:
    """Return the parts of what may be mixed."""
    if type(some) is Mixed:
        return some.parts
    if type(some) is list or isinstance(some, Sequence):
        return [some]
    return [list(some)]


_ROWS = {OutputRows, AddressedRows}
