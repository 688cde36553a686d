"""A version's outcomes while DETECT folds an epoch of them.

Rule 1: `error_stream.Stream` is what is kept, and what a step is given is left alone: this is the
        step's own, made a stream again where one is looked at.
"""

from __future__ import annotations

import hashlib

from streamops.config import ModelConfig
from streamops.core.error_stream import Stream, marked
from streamops.core.tally import is_error
from streamops.events import OutcomeJoined

_sha256 = hashlib.sha256


class OpenStream:
    """A stream that grows.

    key     `model tab version`
    config  that rules the model now, with its hash
    """

    __slots__ = ("_chain", "_errors", "_first", "_is_marked", "_marks", "_outcomes",
                 "_regression", "config", "hash", "key")  # fmt: skip

    def __init__(
        self, key: str, stream: Stream, ruled: tuple[ModelConfig, str], *, is_regression: bool
    ) -> None:
        self.key, self._regression = key, is_regression
        self.config, self.hash = ruled
        self._outcomes, self._errors = stream.outcomes, stream.errors
        self._first, self._chain, self._marks = stream.first_epoch, stream.chain, stream.marks
        self._is_marked = False

    def error(self, event: OutcomeJoined) -> float:
        """Return its error: 0 or 1 of a class, else the distance of prediction and label."""
        prediction, label = event.prediction, event.label
        if not self._regression:
            return float(is_error(prediction, label))
        if isinstance(prediction, str) or isinstance(label, str):
            return 0.0
        return abs(float(prediction) - float(label))

    def add(self, event: OutcomeJoined, conclusion: bytes, epoch: int, is_error: bool) -> None:
        """Take one more outcome."""
        self._chain = _sha256(self._chain + conclusion).digest()
        if not self._is_marked:
            self._marks = marked(self._marks, event, epoch, self._outcomes)
            self._is_marked = True
            self._first = epoch if self._first < 0 else self._first
        self._outcomes += 1
        self._errors += is_error

    def stream(self) -> Stream:
        """Return it as it stands."""
        return Stream(self._outcomes, self._errors, self._first, self._chain, self._marks)
