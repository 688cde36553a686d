"""Replay: fold a log's raw records again and give what follows from them.

The open loop is closed by the log: what a trainer returned or a person approved stands in
`lifecycle`. A request that this replay makes and the log doesn't answer stays open (EPOCHS 24).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from streamops.audit.decoded import rows_of
from streamops.audit.namespace import namespace_of
from streamops.audit.pace import runs_by_epoch
from streamops.core import numeric
from streamops.core.detect import Detector
from streamops.core.output_rows import Addressed
from streamops.core.rows import Rows
from streamops.errors import ConfigError
from streamops.events import Event
from streamops.hosts.replay import RAW, STAGES, ReplayHost
from streamops.topics import COMPACTED, load_topics
from streamops.views.archive import ArchiveLog
from streamops.views.log import ColumnLog

ACTIONS = ("alerts", "retraining", "deployments")
REPORT_EVERY = 2000

Progress = Callable[[int, int], None]


def replay(
    log: ColumnLog,
    *,
    partitions: int,
    skew_ms: int | None,
    make_detector: Callable[[str], Detector],
    seal_every: int = 0,
    on_progress: Progress | None = None,
) -> Iterator[Addressed]:
    """Yield every conclusion, with its topic, as it falls; no more than open epochs are held.

    skew_ms      how far a time may be ahead of its append time; None in a driven namespace
    seal_every   states are sealed at the end of every so many epochs; 0: never
    on_progress  called now and then with (records done, records in all)

    Raises TransportError where the log lacks a raw record.
    """
    numeric.self_test()
    host = ReplayHost(
        partitions=partitions,
        make_detector=make_detector,
        skew_max_ms=skew_ms,
        seal_every=seal_every,
    )
    yield from fed(log, partitions, host.feed, on_progress)


def fed(
    log: ColumnLog,
    partitions: int,
    feed: Callable[[Rows], Iterable[Addressed]],
    on_progress: Progress | None = None,
) -> Iterator[Addressed]:
    """Feed a log's raw records at one pace; yield what `feed` returns of each part of an epoch.

    Raises TransportError where the log lacks a raw record.
    """
    places = [(topic, p) for topic in RAW for p in range(partitions)]
    held = [log.held(*place) for place in places]
    total = sum(span.next - span.first for span in held)
    done = reported = 0
    for rows in runs_by_epoch((topic, rows_of(log, topic, p)) for topic, p in places):
        yield from feed(rows)
        done += len(rows)
        if on_progress is not None and done // REPORT_EVERY > reported // REPORT_EVERY:
            on_progress(done, total)
            reported = done
    if on_progress is not None:
        on_progress(total, total)


def concluded_topics() -> list[str]:
    """Topics that a replay concludes on: those that a stage writes, but for its own checkpoints."""
    written = {name for name, spec in load_topics().items() if set(STAGES) & set(spec.writers)}
    return sorted(written - COMPACTED)


def run_replay(
    archive: Path,
    *,
    topics: tuple[str, ...] = ACTIONS,
    make_detector: Callable[[str], Detector] | None = None,
    on_progress: Progress | None = None,
) -> list[Event]:
    """Return what an archive's raw records conclude on some topics, in the order it falls.

    Raises ConfigError where the folder is no archive or nothing is concluded on a topic,
    TransportError where records are missing.
    """
    known = concluded_topics()
    for topic in topics:
        if topic not in known:
            raise ConfigError(f"--topics has {topic!r}; use some of {','.join(known)}")
    namespace = namespace_of(archive)
    if make_detector is None:
        from streamops.training.detectors import make_audited as river

        make_detector = river
    conclusions = replay(
        ArchiveLog(archive),
        partitions=namespace.partitions,
        skew_ms=namespace.skew_ms,
        make_detector=make_detector,
        seal_every=namespace.seal_every,
        on_progress=on_progress,
    )
    return [out.event for out in conclusions if out.topic in topics]
