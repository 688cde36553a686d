"""What if: fold history again under another configuration, and say what would have been different.

Rule 1: open loop (EPOCHS 24): what applications, trainers and people wrote is taken as given. A
        request that only this fold makes has no answer and closes as unanswered; an answer to a
        request that it doesn't make is ignored. Predictions stay those of the recorded versions.
Rule 2: where METER counts by the settings that it counted by, its recorded summaries and outcomes
        are folded (`recorded`), or the metrics behind them where these are the same as well; where
        panes or segments are others, the raw records are. Which is said; the answer is the same.
Rule 3: under the recorded configuration it concludes what is recorded, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from streamops import codec
from streamops.audit.decoded import records_of, rows_of
from streamops.audit.difference import (
    EVER,
    Difference,
    Mark,
    Span,
    alert_marks,
    differ,
    first_since,
    request_marks,
)
from streamops.audit.metering import Job, Metered
from streamops.audit.namespace import Namespace, namespace_of
from streamops.audit.pace import epochs_of, merged, rank_of
from streamops.audit.recorded import (
    RecordedHost,
    Rehash,
    Unfit,
    differs_in,
    finds_the_same,
    measures_the_same,
)
from streamops.audit.replay import REPORT_EVERY, Progress
from streamops.audit.under import Under, packed_configs
from streamops.audit.workers import Workers, workers_for
from streamops.config import ModelConfig, config_hash
from streamops.core import numeric
from streamops.core.detect import Detector
from streamops.core.output_rows import Addressed
from streamops.core.partition import partition_of
from streamops.core.processor import Record
from streamops.core.rows import Rows
from streamops.errors import ConfigError
from streamops.events import AlertRaised, ConfigActivated, Event, RetrainRequested, RunFailed
from streamops.hosts.replay import RAW, ReplayHost
from streamops.views.archive import ArchiveLog
from streamops.views.log import to_record

UNANSWERED = "unanswered: the log knows no such request"
COMMANDS = "lifecycle"
RECORDED = "recorded summaries: METER counts as it did"
MEASURED = "recorded metrics: METER counts and MONITOR measures as they did"

MakeDetector = Callable[[str], Detector]


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What another configuration would have changed.

    configs     model -> hash of the configuration that was folded with
    alerts      of those models, by fingerprint
    retrains    requests for challengers, by strategy
    unanswered  requests that nobody was ever asked: what they would have led to isn't known
    known       first alert after an incident began: as recorded, and as it would have been
    records     raw records of the history
    folded      what was folded: recorded metrics or summaries, or raw records and why
    """

    configs: dict[str, str]
    alerts: Difference
    retrains: Difference
    unanswered: int
    known: tuple[Mark | None, Mark | None] = (None, None)
    records: int
    folded: str = ""


def what_if(
    archive: Path,
    configs: Iterable[ModelConfig],
    *,
    span: Span = EVER,
    incident: datetime | None = None,
    make_detector: MakeDetector | None = None,
    on_progress: Progress | None = None,
    raw: bool = False,
    workers: int | None = 1,
) -> WhatIf:
    """Fold an archive under other configurations and compare with what it recorded.

    configs  one a model, each in place of every configuration that the model ever had
    span     event times of panes to compare; history is folded whole
    incident event time at which something began that somebody should have been told of
    raw      fold the raw records, whatever the configuration
    workers  processes that fold METER over raw records; 1: this one, None: as many as serve

    Raises ConfigError where the folder is no archive or a model was never configured in it,
    TransportError where records are missing.
    """
    if make_detector is None:
        from streamops.training.detectors import make_audited as river

        make_detector = river
    given = {config.model: config for config in configs}
    fold = Fold(archive, given, make_detector, raw=raw, workers=workers)
    try:
        found = _actions(fold.run(on_progress))
    except Unfit as error:
        fold = Fold(archive, given, make_detector, raw=True, why=str(error), workers=workers)
        found = _actions(fold.run(on_progress))
    fold.require_all_configured()
    recorded = [*recorded_events(archive, "alerts"), *fold.recorded_requests]
    models = fold.configs.keys()
    before, after = (alert_marks(events, models, span) for events in (recorded, found))
    return WhatIf(
        configs={model: config_hash(config) for model, config in fold.configs.items()},
        alerts=differ(before, after),
        retrains=differ(request_marks(recorded, models, span), request_marks(found, models, span)),
        unanswered=fold.unanswered,
        known=(None, None)
        if incident is None
        else (first_since(before, incident), first_since(after, incident)),
        records=fold.records,
        folded=fold.folded,
    )


def _actions(outputs: Iterable[Addressed]) -> list[Event]:
    return [out.event for out in outputs if out.topic in ("alerts", "retraining")]


class Fold:
    """History folded once under given configurations.

    raw         fold raw records, whatever the configurations; `why`: what else speaks for it

    unanswered  requests closed because nobody was asked
    records     raw records of the history
    folded      what is folded, in words
    """

    def __init__(
        self,
        archive: Path,
        configs: Mapping[str, ModelConfig],
        make_detector: MakeDetector,
        *,
        raw: bool = False,
        why: str = "",
        workers: int | None = 1,
    ) -> None:
        numeric.self_test()
        self.configs = dict(configs)
        self.unanswered = 0
        self.namespace: Namespace = namespace_of(archive)
        self.recorded_requests = list(recorded_events(archive, "retraining"))
        self._log = ArchiveLog(archive)
        self._asked = {event.id for event in self.recorded_requests} | _answered(self._log)
        self._archive, self._under = archive, Under(configs)
        partitions = self.namespace.partitions
        recorded = [e for e in _activated(self._log) if e.config.model in configs]
        if raw:
            why = why or "asked for"
        else:
            why = _why_raw(configs, recorded) or _why_not_there(self._log, partitions)
        self._host: ReplayHost | RecordedHost
        if why:
            self.folded, self._host = f"raw records: {why}", self._raw(make_detector)
        else:
            self.folded, self._host = self._over(recorded, make_detector)
        spans = [self._log.held(t, p) for t in RAW for p in range(partitions)]
        self.records = sum(span.next - span.first for span in spans)
        self._workers = workers_for(self.records, partitions) if workers is None else workers
        self._added = [0] * self.namespace.partitions
        self._last = [-1] * self.namespace.partitions

    def run(self, on_progress: Progress | None = None) -> Iterator[Addressed]:
        """Yield every conclusion as it falls; raises TransportError where a record is missing."""
        if isinstance(self._host, RecordedHost):
            yield from self._run_recorded(self._host, on_progress)
        else:
            yield from self._run_raw(self._host, on_progress)

    def _run_raw(self, host: ReplayHost, on_progress: Progress | None) -> Iterator[Addressed]:
        partitions, done, reported = range(self.namespace.partitions), 0, 0
        packed = packed_configs(self.configs.values())
        jobs = [Job(self._archive, p, self.namespace, configs=packed) for p in partitions]
        commands = [epochs_of(COMMANDS, rows_of(self._log, COMMANDS, p)) for p in partitions]
        with Workers(jobs, self._workers) as processes:
            rank = rank_of(COMMANDS)
            sources: list[Iterator[tuple[int, Rows | Metered]]]
            sources = [*processes.sources(), *commands]
            for part in merged((rank, source) for source in sources):
                if isinstance(part, Metered):
                    yield from self._answered(host.take(part.outputs))
                    done += part.records
                else:
                    for record in part:
                        yield from self._feed(record)
                    done += len(part)
                if on_progress is not None and done // REPORT_EVERY > reported // REPORT_EVERY:
                    on_progress(done, self.records)
                    reported = done
        if on_progress is not None:
            on_progress(self.records, self.records)

    def _run_recorded(
        self, host: RecordedHost, on_progress: Progress | None
    ) -> Iterator[Addressed]:
        partitions, done = range(self.namespace.partitions), 0
        places = [(topic, p) for topic in host.topics for p in partitions]
        total = sum(self._log.held(*place).next for place in places)
        sources = {t: [records_of(self._log, t, p) for p in partitions] for t in host.topics}
        for done, record in enumerate(host.paced(sources), 1):
            yield from self._feed(record)
            if on_progress is not None and done % REPORT_EVERY == 0:
                on_progress(done, total)
        host.finish()
        if on_progress is not None:
            on_progress(total, total)

    def require_all_configured(self) -> None:
        """Raise ConfigError for a configuration of a model that the log doesn't know."""
        for model in self.configs.keys() - self._under.met:
            known = ", ".join(sorted(self._under.met)) or "none of the given"
            raise ConfigError(
                f"model is {model!r}, which was never configured in this archive; {known} was"
            )

    def _raw(self, make_detector: MakeDetector) -> ReplayHost:
        return ReplayHost(
            partitions=self.namespace.partitions,
            make_detector=make_detector,
            skew_max_ms=self.namespace.skew_ms,
            without=("meter",),
        )

    def _over(
        self, recorded: Sequence[ConfigActivated], make_detector: MakeDetector
    ) -> tuple[str, RecordedHost]:
        pairs = [(self.configs[event.config.model], event.config) for event in recorded]
        same = {"monitor": measures_the_same, "detect": finds_the_same}
        kept = {stage for stage, is_same in same.items() if all(is_same(*pair) for pair in pairs)}
        host = RecordedHost(
            partitions=self.namespace.partitions,
            rehash=Rehash(self.configs, recorded),
            recorded=kept,
            make_detector=make_detector,
            skew_max_ms=self.namespace.skew_ms,
        )
        return MEASURED if "monitor" in kept else RECORDED, host

    def _feed(self, record: Record) -> Iterator[Addressed]:
        if record.topic == COMMANDS:
            at = record.offset + self._added[record.partition]
            record = record._replace(offset=at)
            self._last[record.partition] = at
        given = self._under.record(record) if record.topic in RAW else record
        yield from self._answered(self._host.feed(given))

    def _answered(self, outputs: Iterable[Addressed]) -> Iterator[Addressed]:
        """Yield conclusions, and what follows where a request that they hold had no answer."""
        waiting = list[Record]()
        while True:
            for output in outputs:
                yield output
                request = output.event if output.topic == "retraining" else None
                if isinstance(request, RetrainRequested) and request.id not in self._asked:
                    waiting.append(self._close(request))
            if not waiting:
                return
            outputs = self._host.feed(waiting.pop())

    def _close(self, request: RetrainRequested) -> Record:
        """The answer to a request that nobody got, behind what lifecycle said so far."""
        self.unanswered += 1
        partition = partition_of(request.model, self.namespace.partitions)
        self._added[partition] += 1
        self._last[partition] += 1
        failed = RunFailed(
            id=f"{request.id}/unanswered",
            time=request.time,
            model=request.model,
            run_id=request.id,
            request_id=request.id,
            error=UNANSWERED,
        )
        append_ms = round(request.time.timestamp() * 1000)
        key, value = request.model.encode(), codec.encode(failed)
        return Record(COMMANDS, partition, self._last[partition], append_ms, key, value, failed)


def _activated(log: ArchiveLog) -> list[ConfigActivated]:
    records = (to_record(raw) for p in log.partitions(COMMANDS) for raw in log.read(COMMANDS, p))
    return [record.event for record in records if isinstance(record.event, ConfigActivated)]


def _why_raw(configs: Mapping[str, ModelConfig], recorded: Sequence[ConfigActivated]) -> str:
    """Return why recorded summaries don't serve; empty where they do."""
    for event in recorded:
        given = configs[event.config.model]
        name = differs_in(given, event.config)
        if name:
            return f"{name} of {given.model} isn't as recorded"
    return ""


def _why_not_there(log: ArchiveLog, partitions: int) -> str:
    for topic in ("summaries", "outcomes", "metrics"):
        for partition in range(partitions):
            held = log.held(topic, partition)
            if held.first or not held.next:
                return f"the archive doesn't hold {topic}-{partition} from its beginning"
    return ""


def _answered(log: ArchiveLog) -> set[str]:
    """Requests that lifecycle answers: they were asked, though an archive of raw topics alone
    doesn't hold them."""
    records = (to_record(raw) for p in log.partitions(COMMANDS) for raw in log.read(COMMANDS, p))
    return {getattr(record.event, "request_id", "") for record in records}


def recorded_events(archive: Path, topic: str) -> Iterator[Event]:
    """Yield what an archive holds of a topic, each id once; all partitions one after the other."""
    log, seen = ArchiveLog(archive), set[str]()
    for partition in log.partitions(topic):
        for raw in log.read(topic, partition):
            event = to_record(raw).event
            if isinstance(event, AlertRaised | RetrainRequested) and event.id not in seen:
                seen.add(event.id)
                yield event
