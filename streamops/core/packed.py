"""Arrays inside a frozen state: bytes, little-endian, so that a state is plain data.

Rule 1: an array that was unpacked is read-only; a step makes new ones.
Rule 2: equal arrays are equal bytes: no NaN with a payload, no negative zero that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamops.core.numeric import Floats, Integers

_IS_LITTLE = np.dtype(np.int64) == np.dtype("<i8")

Flags = NDArray[np.bool_]
Array = Floats | Integers


def pack(values: Array) -> bytes:
    """Return an array's bytes in row order."""
    return values.tobytes() if _IS_LITTLE else values.byteswap().tobytes()


def floats(packed: bytes, *shape: int) -> Floats:
    """Return packed floats in this shape."""
    return np.frombuffer(packed, dtype="<f8").reshape(shape)


def integers(packed: bytes, *shape: int) -> Integers:
    """Return packed integers in this shape."""
    return np.frombuffer(packed, dtype="<i8").reshape(shape)


def joined(parts: Sequence[bytes]) -> bytes:
    """Return packed arrays, each with the streams behind the last one's, as one."""
    return parts[0] if len(parts) == 1 else b"".join(parts)


def pack_all(arrays: Iterable[Array]) -> Iterator[bytes]:
    """Pack each array."""
    return (pack(array) for array in arrays)


def select(mask: Flags, yes: Iterable[Array], no: Iterable[Array]) -> Iterator[Array]:
    """Take a stream (first axis) from the arrays of `yes` where the mask is set, else of `no`."""
    for new, old in zip(yes, no, strict=True):
        yield np.where(mask.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
