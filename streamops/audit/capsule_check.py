"""Verify a capsule: its files, its alerts from its raw records, and that it holds what it promises.

Rule 1: an alert is verified if every file is as it was saved, the fold concludes it, it is the
        expected one to the byte, and the configuration and profile it names are those inside.
Rule 2: under other semantics than it was saved with, the same result is said to be that. A sealed
        state has no meaning then: such a capsule needs the version that saved it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from streamops import codec
from streamops.audit.asked import Asked
from streamops.audit.capsule import (
    ALERTS,
    Capsule,
    configuration_name,
    opened,
    own_semantics,
    version_name,
)
from streamops.audit.records import PartitionReader
from streamops.audit.verdicts import VERIFIED, AlertVerdict, Verification
from streamops.audit.verify import recompute
from streamops.config import ModelConfig, config_hash
from streamops.core.detect import Detector
from streamops.core.seal_leaves import can_load
from streamops.errors import ConfigError, InputError
from streamops.events import AlertRaised, PaneSummarized
from streamops.values import ModelVersion
from streamops.versions import profile_hash

SAME = "same"
NEWER = "other semantics, "
Progress = Callable[[int, int], None]


class CapsuleCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying a capsule found.

    streamops    version that saved it
    semantics    same, or what came out under other semantics than it was saved with
    alerts       one verdict each; completeness is false where any file isn't as it was saved
    findings     what differs, lacks or can't be read, alerts' own faults included
    ok           every alert is verified and there is no finding
    start_epoch  the seal that it begins at; -1: the beginning of the log
    """

    name: str
    streamops: str
    semantics: str
    alerts: tuple[AlertVerdict, ...]
    findings: tuple[str, ...]
    records: int
    ok: bool
    start_epoch: int


def check_capsule(
    path: Path,
    *,
    make_detector: Callable[[str], Detector] | None = None,
    on_progress: Progress | None = None,
) -> CapsuleCheck:
    """Verify a capsule from its own files alone.

    Raises ConfigError where it isn't there, or needs another version; InputError where it can't be
    opened or lacks what a recomputation begins with.
    """
    with opened(path) as capsule:
        _require_meaning(capsule)
        found = _recomputed(capsule, make_detector, on_progress)
        more = [*capsule.faults, *_unlike(capsule), *_strangers(capsule)]
        alerts = [_verdict(alert, capsule, more) for alert in found.alerts]
        alerts += [_absent(id_) for id_ in _lacking(capsule, found)]
        # The fold hasn't begun where the capsule says: it has findings that say why.
        findings = (*more, *found.findings)
        ok = not findings and bool(alerts) and all(a.status == VERIFIED for a in alerts)
        manifest = capsule.manifest
        return CapsuleCheck(
            name=manifest.name,
            streamops=manifest.streamops,
            semantics=_meaning(capsule, ok),
            alerts=tuple(alerts),
            findings=findings,
            records=found.records,
            ok=ok,
            start_epoch=found.start_epoch,
        )


def _require_meaning(capsule: Capsule) -> None:
    manifest, own = capsule.manifest, own_semantics()
    known = manifest.semantics
    same = own.keys() == known.keys() and all(can_load(n, known[n], own[n]) for n in own)
    if manifest.cut.start >= 0 and not same:
        raise ConfigError(
            f"{capsule.path} begins at a sealed state of semantics {_said(manifest.semantics)}, "
            f"this version has {_said(own_semantics())}: verify it with streamops "
            f"{manifest.streamops}, which saved it"
        )


def _recomputed(
    capsule: Capsule,
    make_detector: Callable[[str], Detector] | None,
    on_progress: Progress | None,
) -> Verification:
    manifest = capsule.manifest
    if not (capsule.archive / "raw").is_dir():
        raise InputError(
            f"{capsule.path} has no archive/raw, so nothing can be recomputed: copy it again from "
            "where it was saved"
        )
    return recompute(
        capsule.archive,
        Asked(frozenset(manifest.alerts)),
        cut=manifest.cut,
        make_detector=make_detector,
        on_progress=on_progress,
    )


def _unlike(capsule: Capsule) -> Iterator[str]:
    """Yield how the alerts inside differ from the expected ones."""
    try:
        expected = (capsule.folder / ALERTS).read_bytes().splitlines()
    except OSError:
        return  # a fault by its name already
    recorded = {codec.conclusion(alert): alert.id for alert in _alerts(capsule)}
    for line in expected:
        if line not in recorded:
            yield f"{ALERTS}: expects {_id(line)}, which the archive in the capsule doesn't hold"
    for said, id_ in sorted(recorded.items(), key=lambda item: item[1]):
        if said not in expected:
            yield f"{ALERTS}: doesn't expect {id_}, which the archive in the capsule holds"


def _strangers(capsule: Capsule) -> Iterator[str]:
    """Yield configurations and profiles that aren't those the alerts and summaries name."""
    alerts = _alerts(capsule)
    for hash_ in sorted({alert.config_hash for alert in alerts}):
        name = configuration_name(hash_)
        config = _fact(capsule, name, ModelConfig)
        if config is not None and config_hash(config) != hash_:
            yield f"{name}: wrong configuration, its hash is {config_hash(config)}; restore it"
    profiles = _profiles(capsule)
    for about in sorted({(alert.model, alert.version) for alert in alerts}):
        name = version_name(*about)
        version = _fact(capsule, name, ModelVersion)
        if version is None:
            continue
        found = profile_hash(version.profile)
        named = {version.profile_hash, *profiles.get(about, ())}
        if named != {found}:
            others = ", ".join(sorted(named - {found}))
            yield (
                f"{name}: wrong profile, its hash is {found}, but {others} is what the version "
                "and its panes name; restore it"
            )


def _fact(capsule: Capsule, name: str, kind: type[Any]) -> Any:
    """A configuration or version; None where its file is gone or can't be read: a fault already."""
    try:
        return msgspec.json.decode((capsule.folder / name).read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _profiles(capsule: Capsule) -> dict[tuple[str, str], set[str]]:
    """Hashes of the profiles that the panes of each version were counted with."""
    found: dict[tuple[str, str], set[str]] = {}
    for span in capsule.manifest.cut.spans:
        if span.topic == "summaries":
            reader = PartitionReader(capsule.archive, span.topic, span.partition, span.first)
            for record in reader:
                event = record.event
                if isinstance(event, PaneSummarized) and event.profile_hash:
                    found.setdefault((event.model, event.version), set()).add(event.profile_hash)
    return found


def _alerts(capsule: Capsule) -> list[AlertRaised]:
    asked = Asked(frozenset(capsule.manifest.alerts))
    ends = [s.partition + 1 for s in capsule.manifest.cut.spans if s.topic == "alerts"]
    return asked.recorded(capsule.archive, max(ends, default=0))


def _lacking(capsule: Capsule, found: Verification) -> list[str]:
    return sorted(set(capsule.manifest.alerts) - {alert.id for alert in found.alerts})


def _absent(id_: str) -> AlertVerdict:
    why = "the alert: isn't in the capsule, and nothing in it concludes it"
    return AlertVerdict(
        id=id_, integrity=False, completeness=False, status="failed", reasons=(why,)
    )


def _verdict(alert: AlertVerdict, capsule: Capsule, faults: list[str]) -> AlertVerdict:
    """The fold's verdict, and what is wrong with the capsule itself."""
    if not faults:
        return alert
    return AlertVerdict(
        id=alert.id,
        integrity=alert.integrity and len(faults) == len(capsule.faults),
        completeness=alert.completeness and not capsule.faults,
        status="failed",
        reasons=(*alert.reasons, *faults[:3]),
    )


def _meaning(capsule: Capsule, ok: bool) -> str:
    if capsule.manifest.semantics == own_semantics():
        return SAME
    return f"{NEWER}{'same' if ok else 'different'} result"


def _said(semantics: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(semantics.items()))


def _id(line: bytes) -> str:
    try:
        event = codec.decode(line)
    except InputError:
        return line.decode(errors="replace")[:80]
    return getattr(event, "id", "")
