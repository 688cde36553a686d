"""Which alerts a tampering affects, worked out from the proofs alone; and seeded tamperings.

    python -m tests.exact [COUNT] [SEED]   so many tamperings, verify beside the oracle; 1000, 1

The oracle shares no code with verify and folds nothing. An alert names metrics, a metric its
summaries or how many outcomes its detector had read, a summary its raw spans, number and SHA-256
chain, an outcome its two records. What a summary's chain was over is told by the records' own
words: model, version, segment, time, and for a label its prediction's. That this is right is
checked first: the chains of the untouched archive come out so.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from streamops import codec
from streamops.audit.verify import verify
from streamops.config import DRIFT_METRICS
from streamops.errors import InputError
from streamops.events import (
    AlertRaised,
    Event,
    LabelArrived,
    MetricEvaluated,
    OutcomeJoined,
    PaneSummarized,
    PredictionFailed,
    PredictionMade,
    Tick,
)
from streamops.hosts.memory import MemoryHost
from streamops.views.archive import SCHEMA, ArchiveLog
from streamops.views.seal import Sealer
from tests.story import RULES, archive, make_counting, play

Row = dict[str, Any]
Place = tuple[str, int]
Made = PredictionMade | PredictionFailed


def story() -> MemoryHost:
    """Small: 2,300 records. Alerts on PSI, accuracy, and a detector."""
    rules = tuple(rule for rule in RULES if rule.metric not in DRIFT_METRICS)
    return play(panes=8, every_s=3, rules=rules)


class Standing(NamedTuple):
    """One raw record as a reader gets it: epoch, topic's rank, offset, value, what it says."""

    epoch: int
    rank: int
    offset: int
    value: bytes
    event: object


class Oracle:
    """The proofs of an archive's alerts, and what is left of them after a tampering."""

    def __init__(self, host: MemoryHost, rows: dict[Place, list[Row]]) -> None:
        self._partitions = host.partitions
        self._alerts = [e for e in host.events("alerts") if isinstance(e, AlertRaised)]
        self._metrics = {event.id: event for event in host.events("metrics")}
        self._summaries = {
            e.id: e for e in host.events("summaries") if isinstance(e, PaneSummarized)
        }
        outcomes = [e for e in host.events("outcomes") if isinstance(e, OutcomeJoined)]
        read = [e for e in outcomes if not e.after_cohort and not e.correction]
        read.sort(key=lambda e: (e.stamp.epoch, e.time, e.id))
        self._read: dict[tuple[str, str], list[OutcomeJoined]] = {}
        for event in read:
            self._read.setdefault((event.model, event.version), []).append(event)
        assert self._broken_raw(rows) == (set(), set()), "it doesn't know what proofs are made of"

    def affected(self, place: Place, before: list[Row], rows: dict[Place, list[Row]]) -> set[str]:
        """Alerts of whose proof a part isn't what it was, `place` having been tampered with."""
        topic = place[0]
        if topic in ("predictions", "labels"):
            return self._above(*self._broken_raw(rows))
        changed = {id_ for _, id_ in _said(before) ^ _said(rows[place])}
        if topic == "alerts":
            return {alert.id for alert in self._alerts if alert.id in changed}
        if topic == "metrics":
            return {a.id for a in self._alerts if _refs(a) & changed}
        return self._above(changed & self._summaries.keys(), changed)

    def _above(self, summaries: set[str], outcomes: set[str]) -> set[str]:
        """Alerts that rest on any of these summaries or outcomes, by id."""
        return {
            alert.id
            for alert in self._alerts
            for ref in alert.evidence.metrics
            if self._rests(self._metrics[ref.id], summaries, outcomes)
        }

    def _rests(self, metric: Event, summaries: set[str], outcomes: set[str]) -> bool:
        if isinstance(metric, MetricEvaluated):
            return any(ref.id in summaries for ref in metric.evidence.summaries)
        read = self._read[(metric.model, metric.version)][: metric.outcomes]
        return any(outcome.id in outcomes for outcome in read)

    def _broken_raw(self, rows: dict[Place, list[Row]]) -> tuple[set[str], set[str]]:
        """Summaries and outcomes whose raw records aren't those they name."""
        summaries, outcomes = set[str](), set[str]()
        for partition in range(self._partitions):
            standing, closed = _standing(rows, partition)
            made: dict[str, Standing] = {}
            labels: dict[str, Standing] = {}
            for one in standing:
                if isinstance(one.event, Made):
                    made.setdefault(one.event.id, one)
                elif isinstance(one.event, LabelArrived):
                    labels.setdefault(one.event.prediction_id, one)
            source = f"meter/{partition}"
            for summary in self._summaries.values():
                if summary.stamp.source == source:
                    known = summary.stamp.epoch in closed
                    if not known or not _is_made_of(summary, standing, made):
                        summaries.add(summary.id)
            for event in (event for read in self._read.values() for event in read):
                if event.stamp.source == source:
                    pair = made.get(event.prediction_id), labels.get(event.prediction_id)
                    if event.stamp.epoch not in closed or not _is_joined_of(event, pair):
                        outcomes.add(event.id)
        return summaries, outcomes


def _is_made_of(
    summary: PaneSummarized, standing: list[Standing], made: dict[str, Standing]
) -> bool:
    """Whether the records that belong to a pane are as many, and chained, as it says."""
    spans = {span.topic: span for span in summary.evidence.spans}
    mine, chain, repeats = list[Standing](), b"", 0
    for one in standing:
        about = one.event
        if isinstance(about, LabelArrived):
            first = made.get(about.prediction_id)
            about = None if first is None else first.event
        elif isinstance(about, Made) and made[about.id] is not one:
            repeats += _belongs(summary, about) and one.epoch <= summary.stamp.epoch
            continue
        if (
            isinstance(about, Made)
            and _belongs(summary, about)
            and one.epoch <= _until(summary, one)
        ):
            mine.append(one)
            chain = hashlib.sha256(chain + one.value).digest()
    topics = ("predictions", "labels")
    found = {topics[rank]: [o.offset for o in mine if o.rank == rank] for rank in (0, 1)}
    bounds = {topic: (min(at), max(at) + 1) for topic, at in found.items() if at}
    return (
        bounds == {topic: (span.first, span.next) for topic, span in spans.items()}
        and len(mine) == summary.evidence.records
        and repeats * (summary.segment == "all") == summary.repeats
        and chain.hex() == summary.evidence.chain
    )


def _until(summary: PaneSummarized, one: Standing) -> int:
    """The last epoch whose records of a topic a cut has: its own; a close comes before labels."""
    return summary.stamp.epoch - (summary.cut == "closed" and one.rank == 1)


def _belongs(summary: PaneSummarized, made: Made) -> bool:
    segments = {"all", "country=de" if made.segments.get("country") == "de" else "country=~other"}
    return (
        (made.model, made.version) == (summary.model, summary.version)
        and summary.segment in segments
        and summary.pane_start <= made.time < summary.time
    )


def _is_joined_of(event: OutcomeJoined, pair: tuple[Standing | None, Standing | None]) -> bool:
    made, label = pair
    if made is None or label is None:
        return False
    spans = {(s.topic, s.first) for s in event.evidence.spans}
    told = made.event, label.event
    if not isinstance(told[0], PredictionMade) or not isinstance(told[1], LabelArrived):
        return False
    said = told[0].score, bytes(told[0].features), told[0].prediction, told[1].label
    return {("predictions", made.offset), ("labels", label.offset)} == spans and said == (
        event.score, bytes(event.features), event.prediction, event.label
    )  # fmt: skip


def _standing(rows: dict[Place, list[Row]], partition: int) -> tuple[list[Standing], set[int]]:
    """What METER reads of a partition, in its order, and the epochs that both topics tick off."""
    found, closed = list[Standing](), list[set[int]]()
    for rank, topic in enumerate(("predictions", "labels")):
        epoch, at, ticks = -1, -1, {-1}
        for row in rows[(topic, partition)]:
            if row["offset"] <= at:
                continue
            at = row["offset"]
            event = _decoded(row["value"])
            if isinstance(event, Tick) and event.epoch > epoch:
                epoch = event.epoch
                ticks.add(epoch)
            found.append(Standing(epoch, rank, at, row["value"], event))
        closed.append({tick for tick in ticks if tick + 1 in ticks})
    found.sort(key=lambda one: one[:3])
    return found, closed[0] & closed[1]


def _decoded(value: bytes) -> object:
    try:
        return codec.decode(value)
    except InputError:
        return None


def _said(rows: list[Row]) -> set[tuple[bytes, str]]:
    """What a partition says, record by record, and the id in each."""
    return {(row["value"], getattr(_decoded(row["value"]), "id", "")) for row in rows}


def _refs(alert: AlertRaised) -> set[str]:
    return {ref.id for ref in alert.evidence.metrics}


# Tamperings ---------------------------------------------------------------------------------------

FIELDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "predictions": lambda e: e["features"].update(x=e["features"]["x"] + 0.001),
    "labels": lambda e: e.update(label=1 - e["label"]),
    "outcomes": lambda e: e.update(score=0.123),
    "summaries": lambda e: e.update(predictions=e["predictions"] + 1),
    "metrics": lambda e: [m.__setitem__(2, 0.5) for m in e["metrics"] if m[0] == "js"],
    "alerts": lambda e: e.update(value=e["value"] + 0.5),
}
KINDS = {
    "predictions": "PredictionMade",
    "labels": "LabelArrived",
    "outcomes": "OutcomeJoined",
    "summaries": "PaneSummarized",
    "metrics": "MetricEvaluated",
    "alerts": "AlertRaised",
}


class Tampering(NamedTuple):
    """What is done where, in words; and the partition's rows afterwards."""

    how: str
    place: Place
    rows: list[Row]


def tampering(rows: dict[Place, list[Row]], chance: random.Random) -> Tampering:
    """One tampering with one record: value, offset, order, removal, insertion, tail."""
    topic = chance.choice([*["predictions", "labels"] * 4, *KINDS])
    place = topic, chance.choice([p for t, p in rows if t == topic and _data(rows[(t, p)], topic)])
    mine = _data(rows[place], topic)
    n = chance.choice(mine)
    hows = ["value", "offset", "order", "removal", "insertion", "tail"]
    how = chance.choice(hows) if topic in ("predictions", "labels") else "value"
    if topic in ("alerts", "outcomes") and chance.random() < 0.4:
        how = "removal"
    after = [dict(row) for row in rows[place]]
    if how == "value":
        after[n]["value"] = _edited(after[n]["value"], FIELDS[topic])
    elif how == "offset" and {n - 1, n + 1} <= {*mine}:  # else it may push a tick out
        after[n]["offset"] += chance.choice([-1, 1])
    elif how == "order" and n + 1 in mine:
        for name in ("key", "value", "timestamp_ms", "headers"):
            after[n][name], after[n + 1][name] = after[n + 1][name], after[n][name]
    elif how == "insertion":
        forged = {**after[n], "value": _edited(after[n]["value"], lambda e: e.update(id="forged"))}
        after.insert(n + chance.randrange(2), forged)
    elif how == "tail":
        del after[n:]
    else:
        del after[n]
    if after == rows[place]:
        return tampering(rows, chance)  # that record has no such value
    return Tampering(f"{how} of {place[0]}-{place[1]} row {n}", place, after)


def _data(rows: list[Row], topic: str) -> list[int]:
    mark = f'"type":"{KINDS[topic]}"'.encode()
    return [n for n, row in enumerate(rows) if mark in row["value"]]


def _edited(value: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    event = json.loads(value)
    change(event)
    return json.dumps(event, separators=(",", ":")).encode()


# Side by side -------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A tampering, the alerts it affects, those that verify names, and whether it said well."""

    how: str
    affected: set[str]
    named: set[str]
    ok: bool


def seal_all(folder: Path) -> None:
    """Seal every record: what nothing rests on, such as a repeat, shows in the chain alone."""
    log, sealer = ArchiveLog(folder), Sealer(folder, "story")
    for topic in log.topics():
        for partition in log.partitions(topic):
            for path, cover in log.files(topic, partition):
                records = list(log.read(topic, partition, cover.first, cover.next))
                sealer.take((topic, partition), records, cover, path)
    sealer.seal(0.0)


def trials(folder: Path, count: int, seed: int) -> Iterator[Trial]:
    """Tamper with a copy of the story so many times; yield what came out."""
    host = story()
    intact = archive(host, folder / "archive", rows=100_000)
    seal_all(intact)
    paths = {
        (path.parts[-3].partition("=")[2], int(path.parts[-2].partition("=")[2])): path
        for path in intact.rglob("raw/**/*.parquet")
    }
    rows = {place: pq.read_table(path).to_pylist() for place, path in paths.items()}
    oracle, chance = Oracle(host, rows), random.Random(seed)
    for _ in range(count):
        done = tampering(rows, chance)
        path = paths[done.place]
        original = path.read_bytes()
        schema = SCHEMA.with_metadata(pq.read_schema(path).metadata)
        pq.write_table(pa.Table.from_pylist(done.rows, schema=schema), path)
        found = verify(intact, make_detector=make_counting)
        path.write_bytes(original)
        named = {alert.id for alert in found.alerts if alert.status != "verified"}
        after = {**rows, done.place: done.rows}
        expected = oracle.affected(done.place, rows[done.place], after)
        yield Trial(done.how, expected, named, found.ok)


def main(given: list[str]) -> int:
    """Run so many; the exit status is 1 where verify and the oracle differ."""
    count, seed = (int(n) for n in [*given, *["1000", "1"][len(given) :]])
    place = Path(tempfile.mkdtemp(prefix="exact-"))
    sizes: dict[int, int] = {}
    bad = 0
    for number, trial in enumerate(trials(place, count, seed)):
        if number and number % 100 == 0:
            print(f"{number} done, {bad} differ", file=sys.stderr, flush=True)
        sizes[len(trial.affected)] = sizes.get(len(trial.affected), 0) + 1
        if trial.affected != trial.named or trial.ok:
            bad += 1
            more, less = trial.named - trial.affected, trial.affected - trial.named
            print(f"{number} {trial.how}: ok {trial.ok}, named beside {more}, not named {less}")
    shutil.rmtree(place)
    print(f"{count} tamperings, {bad} differ; by alerts affected: {dict(sorted(sizes.items()))}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
