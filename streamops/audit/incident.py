"""incident save: cut what some alerts rest on out of an archive, as a capsule.

Rule 1: what the verification of these alerts would read is what goes in: whole epochs of every
        partition, from the last seal before their proofs, or from the beginning, to the epoch of
        the last alert. A close covers all that its source concluded, so no model is left out.
Rule 2: equal alerts of an equal archive give equal bytes, whoever saves them and when.
Rule 3: what is saved was verified, as it was saved: a capsule never holds an alert that fails.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from streamops import __version__, codec
from streamops.audit.asked import Asked
from streamops.audit.capsule import (
    ALERTS,
    ARCHIVE,
    MANIFEST,
    Manifest,
    configuration_name,
    names_in,
    own_semantics,
    sum_of,
    version_name,
)
from streamops.audit.capsule_check import CapsuleCheck, Progress, check_capsule
from streamops.audit.cut import Cut
from streamops.audit.cutting import spans_of
from streamops.audit.namespace import namespace_of
from streamops.audit.packed import SUFFIX, pack
from streamops.audit.records import PartitionReader
from streamops.audit.start import Starter
from streamops.config import ModelConfig
from streamops.core.detect import Detector
from streamops.errors import ConfigError, TransportError
from streamops.events import AlertRaised, ConfigActivated, VersionActivated
from streamops.hosts.seal_files import read_kept, seal_path
from streamops.values import ModelVersion, Span
from streamops.views.archive import (
    COVER,
    NAMESPACE_FILE,
    ArchiveLog,
    cover_of,
    file_name,
    raw_folder,
    raw_table,
)

LEVEL = 9

MakeDetector = Callable[[str], Detector]


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A capsule that was saved: where, how large, and what its verification said."""

    path: Path
    bytes: int
    check: CapsuleCheck


def save_incident(
    archive: Path,
    name: str,
    asked: Asked,
    out: Path,
    *,
    whole: bool = False,
    make_detector: MakeDetector | None = None,
    on_progress: Progress | None = None,
) -> Saved:
    """Save the alerts that are asked for as a capsule: a folder, or one file where `out` ends so.

    whole  from the beginning of the log, so that it means something under later semantics, too

    Raises ConfigError where there is no such alert, `out` is taken, or one of them isn't verified;
    TransportError where the archive lacks a record or the disk refuses.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already: give another --out, or remove it")
    if make_detector is None:
        from streamops.training.detectors import make_audited as river

        make_detector = river
    namespace = namespace_of(archive)
    alerts = _one_each(asked.recorded(archive, namespace.partitions))
    if not alerts:
        raise ConfigError(
            f"no alert in {archive} is meant; `streamops alerts` lists those there are"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{name}.") as place:
        folder = Path(place) / "capsule"
        manifest = _write(archive, name, alerts, folder, make_detector, whole=whole)
        check = check_capsule(folder, make_detector=make_detector, on_progress=on_progress)
        _require_verified(archive, check)
        size = sum(file.bytes for file in manifest.files)
        if out.name.endswith(SUFFIX):
            packed = Path(place) / out.name
            pack(folder, [MANIFEST, *(file.name for file in manifest.files)], packed)
            size, folder = packed.stat().st_size, packed
        folder.rename(out)
    return Saved(path=out, bytes=size, check=check)


def _write(
    archive: Path,
    name: str,
    alerts: list[AlertRaised],
    folder: Path,
    make_detector: MakeDetector,
    *,
    whole: bool,
) -> Manifest:
    """Write a capsule's files and its manifest."""
    namespace = namespace_of(archive)
    starter = Starter(archive, namespace, make_detector)
    start = None if whole else starter.start(alerts)
    epochs = [alert.stamp.epoch for alert in alerts if alert.stamp is not None]
    if len(epochs) < len(alerts):
        raise ConfigError(
            f"an alert in {archive} was stamped by no stage: `streamops verify --all`"
        )
    spans = tuple(spans_of(archive, namespace, start, starter, max(epochs)))
    cut = Cut(max(epochs), spans, -1 if start is None else start.epoch)
    inside = folder / ARCHIVE
    _write_archive(archive, inside, cut)
    (inside / NAMESPACE_FILE).write_bytes(_text(namespace))
    if start is not None:
        for sha in sorted(starter.files.loaded):
            path = seal_path(inside, sha)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(read_kept(archive, sha))
    said = b"".join(codec.conclusion(alert) + b"\n" for alert in alerts)
    _put(folder, ALERTS, said)
    for file, what in _facts(archive, namespace.partitions, alerts):
        _put(folder, file, _text(what))
    manifest = Manifest(
        streamops=__version__,
        name=name,
        alerts=tuple(alert.id for alert in alerts),
        semantics=own_semantics(),
        cut=cut,
        files=tuple(sum_of(folder, file) for file in names_in(folder)),
    )
    (folder / MANIFEST).write_bytes(_text(manifest))
    return manifest


def _write_archive(archive: Path, inside: Path, cut: Cut) -> None:
    log = ArchiveLog(archive)
    for span in cut.spans:
        place, records = (span.topic, span.partition), _held(log, span)
        cover = cover_of([record.offset for record in records], span.first, span.next)
        rows = raw_table(records).replace_schema_metadata({COVER: msgspec.json.encode(cover)})
        path = raw_folder(inside, *place) / file_name(span.first)
        path.parent.mkdir(parents=True)
        # A capsule is written once and kept in repositories: small counts, not the time it takes.
        pq.write_table(
            rows, path, compression="zstd", compression_level=LEVEL, use_dictionary=False
        )


def _held(log: ArchiveLog, span: Span) -> list[Any]:
    """The records of a span; TransportError where one is missing."""
    return list(log.read(span.topic, span.partition, span.first, span.next))


def _facts(
    archive: Path, partitions: int, alerts: list[AlertRaised]
) -> Iterator[tuple[str, ModelConfig | ModelVersion]]:
    """Yield the configurations and versions that the alerts name, by file."""
    hashes = {alert.config_hash for alert in alerts}
    versions = {(alert.model, alert.version) for alert in alerts}
    seen: set[str] = set()
    for partition in range(partitions):
        for record in PartitionReader(archive, "lifecycle", partition):
            event, file = record.event, ""
            what: ModelConfig | ModelVersion | None = None
            if isinstance(event, ConfigActivated) and event.config_hash in hashes:
                file, what = configuration_name(event.config_hash), event.config
            elif isinstance(event, VersionActivated):
                about = event.version.model, event.version.version
                file = version_name(*about) if about in versions else ""
                what = event.version
            if what is not None and file and file not in seen:
                seen.add(file)
                yield file, what


def _one_each(alerts: Iterable[AlertRaised]) -> list[AlertRaised]:
    """One of each id, by time."""
    found = {alert.id: alert for alert in alerts}
    return sorted(found.values(), key=lambda alert: (alert.time, alert.id))


def _require_verified(archive: Path, check: CapsuleCheck) -> None:
    """Raise unless all that goes in is verified."""
    if check.ok:
        return
    for verdict in check.alerts:
        if verdict.status != "verified":
            why = verdict.reasons[0] if verdict.reasons else verdict.status
            raise ConfigError(
                f"{verdict.id} isn't verified in {archive} ({verdict.status}: {why}), so a capsule "
                "of it would prove nothing; `streamops verify --all` says what is wrong"
            )
    raise TransportError(
        f"{archive} has a fault among what the alerts rest on: {check.findings[0]}; "
        "`streamops verify --all` says what is wrong"
    )


def _put(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _text(what: Any) -> bytes:
    """JSON for a person, the same for equal values."""
    return msgspec.json.format(msgspec.json.encode(what, order="deterministic"), indent=2) + b"\n"
