"""Seals: what a fold has come to at the end of every Nth epoch, as a Merkle root (EPOCHS 23).

Rule 1: leaves are conclusions: a state, model by model, in one canonical encoding, without offsets,
        append times and chains over raw bytes. So the root is equal in every run and on every host.
Rule 2: what a fold needs beside to go on (where its records stand) lies in the manifest, whose hash
        is the seal's evidence. Leaves and manifest are files under their SHA-256: the host's.
Rule 3: pending predictions aren't copied, only counted and hashed: they are raw records of at most
        one horizon, which a reader folds again from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from streamops.core.merkle import merkle_root
from streamops.core.processor import Output, Processor
from streamops.core.seal_leaf import Leaf, canonical
from streamops.core.seal_leaves import leaves_of, places_of, semantics_of
from streamops.core.seal_meter import Places
from streamops.core.times import EPOCH
from streamops.events import Sealed
from streamops.values import SealEvidence

EMPTY = hashlib.sha256(b"").digest()
LEAF = b"\0"


class LeafRef(msgspec.Struct, frozen=True, array_like=True):
    """A leaf of a seal: what and whose it is, the SHA-256 (hex) of its file, and its bytes."""

    kind: str
    model: str
    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """What a seal is made of: its leaves in their order, and where the state's records stand."""

    source: str
    epoch: int
    semantics: int
    leaves: tuple[LeafRef, ...]
    places: Places


class Contents(NamedTuple):
    """Files of a seal by their SHA-256 (hex), the manifest last; its leaves and their bytes."""

    root: str
    files: dict[str, bytes]
    manifest: str
    leaves: int
    bytes: int
    semantics: int


def is_due(epoch: int, every: int) -> bool:
    """Tell whether an epoch is sealed at its end; `every` 0 seals none."""
    return every > 0 and (epoch + 1) % every == 0


def root_of(refs: Iterable[LeafRef]) -> str:
    """Return the root (hex) over a manifest's leaves."""
    leaves = [hashlib.sha256(LEAF + bytes.fromhex(ref.sha256)).digest() for ref in refs]
    return (merkle_root(leaves) if leaves else EMPTY).hex()


def contents_of(processor: Processor[Any], state: Any, source: str, epoch: int) -> Contents:
    """Return the files of a seal of this state."""
    files: dict[str, bytes] = {}
    refs = [_put(files, leaf) for leaf in leaves_of(processor, state)]
    places = places_of(processor, state)
    semantics = semantics_of(processor, state)
    manifest = Manifest(source, epoch, semantics, tuple(refs), places)
    data = encode_manifest(manifest)
    name = hashlib.sha256(data).hexdigest()
    size = len(b"".join(files.values()))
    files[name] = data
    return Contents(root_of(refs), files, name, len(refs), size, semantics)


def sealed(
    contents: Contents,
    about: tuple[str, int, int],
    time: datetime | None,
    positions: dict[str, int],
) -> Output:
    """Return the seal as it goes to `progress`; `about`: source, partition, epoch."""
    source, partition, epoch = about
    event = Sealed(
        id=f"seal/{source}/{epoch}",
        time=EPOCH if time is None else time,
        source=source,
        epoch=epoch,
        root=contents.root,
        semantics=contents.semantics,
        leaves=contents.leaves,
        bytes=contents.bytes,
        evidence=SealEvidence(contents=contents.manifest, positions=positions),
    )
    return Output("progress", source, event, partition)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest's canonical bytes."""
    return canonical(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest; raises msgspec's errors for other bytes."""
    return msgspec.msgpack.decode(data, type=Manifest)


def _put(files: dict[str, bytes], leaf: Leaf) -> LeafRef:
    data = canonical(leaf)
    name = hashlib.sha256(data).hexdigest()
    files[name] = data
    return LeafRef(leaf.kind, leaf.model, name, len(data))
