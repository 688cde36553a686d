"""One run: from a request and its outcomes to what the log will say about it.

Rule 1: a run's events follow from the request and the outcomes alone: ids from the request's id,
        times from its time, no clock. The same run again gives the same bytes (EPOCHS 22).
Rule 2: the champion and the candidate are judged on the same held-out rows, the newest of the
        range. Only a refit, which the record names, lets the artifact see them afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from streamops.config import ModelConfig
from streamops.core.meter_state import segments_of
from streamops.core.times import micros
from streamops.errors import InputError
from streamops.events import CandidateScored, EvaluationRequested, RetrainRequested
from streamops.training.batch import Trained
from streamops.training.frames import Row, is_label
from streamops.training.online import link
from streamops.training.outcomes import OutcomeRow
from streamops.training.scoring import Answer, score_answers, score_segments
from streamops.values import ModelVersion

Request = RetrainRequested | EvaluationRequested


class Rows(msgspec.Struct, frozen=True):
    """The outcomes of a run: what may be learned, oldest first, and what is held out.

    unread  outcomes left out: no key opens their values about persons
    """

    learn: list[OutcomeRow]
    held: list[OutcomeRow]
    unread: int = 0


class Run(msgspec.Struct, frozen=True):
    """What training brought: the version, its runner, and the answers on the held-out rows."""

    version: ModelVersion
    runner: str
    trained: Trained


def split(request: Request, rows: Sequence[OutcomeRow], task: str, unread: int = 0) -> Rows:
    """Hold out the newest rows; of the others keep what the strategy may learn from.

    Rows whose label is none of the task are left out: they measure and teach nothing. So are those
    whose features can't be read: METER looks into those of versions that it knows only.
    unread  outcomes that were left out before: no key opens their values
    Raises InputError where nothing is left to learn from.
    """
    rows = [row for row in rows if is_label(row.label, task) and _is_readable(row.features)]
    cut = max(0, len(rows) - request.holdout_rows)
    learn, held = list(rows[:cut]), list(rows[cut:])
    if isinstance(request, EvaluationRequested):
        return Rows([], held, unread)
    if request.strategy == "since_change" and request.since is not None:
        since_us = micros(request.since)
        learn = [row for row in learn if row.time_us >= since_us]
    if not learn:
        raise InputError(
            f"outcomes are {len(rows)} in epochs {request.first_epoch} to {request.last_epoch}, "
            + (f"{unread} more have values about persons that no key opens, " if unread else "")
            + f"{request.holdout_rows} held out; none is left to learn from: wait for more labels"
        )
    return Rows(learn, held, unread)


def scored(
    request: Request,
    version: ModelVersion,
    rows: Rows,
    answers: tuple[Sequence[Answer], Sequence[Answer]],
    config: ModelConfig | None,
) -> CandidateScored:
    """Return the final answer to a request.

    answers  the candidate's and the champion's on the held-out rows; the champion's may be none
    """
    candidate, champion = answers
    labels = [row.label for row in rows.held]
    names = _segments(rows.held, config)
    known = len(champion) == len(labels)
    task, positive = version.task, version.positive
    return CandidateScored(
        id=f"{request.id}/scored",
        time=request.time,
        model=request.model,
        version=version.version,
        request_id=request.id,
        champion_version=request.champion_version,
        rows=len(labels),
        candidate=score_answers(candidate, labels, task, positive),
        champion=score_answers(champion, labels, task, positive) if known else {},
        segments=score_segments(candidate, champion, labels, names, task, request.metric, positive)
        if known
        else {},
        first_epoch=request.first_epoch,
        last_epoch=request.last_epoch,
        refit=isinstance(request, RetrainRequested) and request.refit,
    )


def version_name(request: RetrainRequested) -> str:
    """Return the challenger's name: its strategy and the start of its request's hash."""
    return f"{request.strategy}-{hashlib.sha256(request.id.encode()).hexdigest()[:10]}"


def content_hash(rows: Sequence[OutcomeRow]) -> str:
    """Return the SHA-256 (hex) of a chain over features and labels in order."""
    chain = b""
    for row in rows:
        chain = link(chain, row)
    return hashlib.sha256(chain).hexdigest()


def _is_readable(features: bytes) -> bool:
    try:
        _FEATURES.decode(features)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _segments(rows: Sequence[OutcomeRow], config: ModelConfig | None) -> list[list[str]]:
    if config is None:
        return [sorted(f"{name}={value}" for name, value in row.segments.items()) for row in rows]
    return [segments_of(row.segments, config)[1:] for row in rows]


_FEATURES: msgspec.json.Decoder[Row] = msgspec.json.Decoder(dict)
