"""Outcomes with values about persons in the clear, for an audit that asks models again.

Rule 1: only what a key opens here is read. The plain text is used to ask, and kept nowhere.
Rule 2: an outcome that isn't whole is left out; its key's erasure on the log tells whether it was
        erased by request, or only can't be read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamops.audit.erasures import Erased, erasures, keys_of
from streamops.core.personal import is_personal, key_of
from streamops.events import OutcomeJoined
from streamops.personal import Opener, sealed_in
from streamops.views.archive import ArchiveLog


class Readable(NamedTuple):
    """Outcomes that can be read whole; how many were erased by request, or have no key here."""

    outcomes: list[OutcomeJoined]
    erased: int
    unread: int


class InClear:
    """Reads an archive's outcomes with the key store that lies beside its data folder."""

    def __init__(self, archive: Path) -> None:
        self._log = ArchiveLog(archive)
        self._opener = Opener(keys_of(archive))
        self._erasures: dict[str, Erased] | None = None

    def read(self, outcomes: Sequence[OutcomeJoined]) -> Readable:
        """Return those that can be read, in their order, and the numbers of the others."""
        found, erased = list[OutcomeJoined](), 0
        for outcome in outcomes:
            features = bytes(outcome.features)
            if not is_personal(features):
                found.append(outcome)
                continue
            plain = self._opener.read(outcome.prediction_id, features)
            if plain is None:
                erased += self._is_erased(features)
            else:
                found.append(msgspec.structs.replace(outcome, features=msgspec.Raw(plain)))
        return Readable(found, erased, len(outcomes) - len(found) - erased)

    def _is_erased(self, features: bytes) -> bool:
        if self._erasures is None:
            self._erasures = erasures(self._log)
        return key_of(sealed_in(features)) in self._erasures
