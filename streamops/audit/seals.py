"""Seals as an archive holds them: records on `progress`, and the files they name.

Rule 1: a file is what its name says or it is refused, by name; a seal of which one file is refused,
        or whose leaves don't give its root, is never gone on from.
Rule 2: two records of one seal that say different things make it unusable; verify names them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamops.audit.records import PartitionReader
from streamops.codec import conclusion
from streamops.core.seal import Manifest, decode_manifest, root_of
from streamops.core.seal_leaf import Leaf
from streamops.core.seal_leaves import load_state
from streamops.core.seal_meter import Head, load_head
from streamops.errors import InputError
from streamops.events import Sealed
from streamops.hosts.seal_files import read_kept


class Loaded(NamedTuple):
    """A seal with its contents, all of them what their names say."""

    event: Sealed
    manifest: Manifest
    leaves: list[Leaf]

    @property
    def positions(self) -> dict[str, int]:
        """Where its source reads on, by input topic."""
        return {} if self.event.evidence is None else self.event.evidence.positions

    def state(self, kind: type[Any]) -> Any:
        """Return the sealed state; METER's without its join table."""
        return load_state(kind, self.leaves, self.manifest.places)

    def head(self) -> Head:
        """Return what METER keeps of no model."""
        head = next(one for one in self.leaves if one.kind == "meter")
        return load_head(head, self.manifest.places)


class SealFiles:
    """The files of an archive's seals; each is read once where it is only checked.

    loaded  names of those that seals were loaded from
    """

    def __init__(self, archive: Path) -> None:
        self.loaded: set[str] = set()
        self._archive = archive
        self._sound: set[str] = set()

    def manifest(self, event: Sealed) -> Manifest:
        """Return what a seal is made of; InputError where its file isn't there or another."""
        return self._manifest(event)

    def check(self, event: Sealed) -> None:
        """Raise InputError unless all files of a seal are there and give its root."""
        for ref in self._manifest(event).leaves:
            if ref.sha256 not in self._sound:
                read_kept(self._archive, ref.sha256)
                self._sound.add(ref.sha256)

    def load(self, event: Sealed) -> Loaded:
        """Return a seal with its contents; InputError names the file that is not as it was."""
        manifest = self._manifest(event)
        leaves = [
            _decoded(read_kept(self._archive, ref.sha256), Leaf, ref.sha256)
            for ref in manifest.leaves
        ]
        if event.evidence is not None:
            self.loaded |= {event.evidence.contents, *(ref.sha256 for ref in manifest.leaves)}
        return Loaded(event, manifest, leaves)

    def _manifest(self, event: Sealed) -> Manifest:
        if event.evidence is None:
            raise InputError("it names no contents")
        name = event.evidence.contents
        manifest: Manifest = _decoded(read_kept(self._archive, name), Manifest, name)
        said = manifest.source, manifest.epoch, manifest.semantics, root_of(manifest.leaves)
        if said != (event.source, event.epoch, event.semantics, event.root):
            raise InputError(f"seals/{name[:2]}/{name} holds another seal than this one")
        return manifest


def recorded_seals(archive: Path, partitions: int) -> dict[int, dict[str, Sealed]]:
    """Return the seals of an archive by epoch and source; without those that disagree."""
    found: dict[int, dict[str, Sealed]] = {}
    doubted: set[tuple[int, str]] = set()
    for partition in range(partitions):
        for record in PartitionReader(archive, "progress", partition):
            event = record.event
            if isinstance(event, Sealed):
                first = found.setdefault(event.epoch, {}).setdefault(event.source, event)
                if conclusion(first) != conclusion(event):
                    doubted.add((event.epoch, event.source))
    for epoch, source in doubted:
        del found[epoch][source]
    return found


def _decoded(data: bytes, kind: Any, name: str) -> Any:
    try:
        return (
            decode_manifest(data) if kind is Manifest else msgspec.msgpack.decode(data, type=kind)
        )
    except msgspec.MsgspecError as error:
        raise InputError(
            f"seals/{name[:2]}/{name} can't be read as a seal's file: {error}; another version of "
            "streamops wrote it"
        ) from error
