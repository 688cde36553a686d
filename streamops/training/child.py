"""The training child: loads the libraries once, then forks for each job.

    python -m streamops.training.child WORK ARTIFACTS MEMORY_BYTES

For each line on standard input (seconds of CPU a job may use) it forks, writes the job's process
id, and when the job has ended its status. A job reads WORK/job and writes WORK/answer; its error
output goes to WORK/errors.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path

import msgspec

from streamops.errors import ConfigError, InputError, ServiceError
from streamops.training.batch import Failure, Job, Trained
from streamops.training.fitting import fit
from streamops.training.frames import Columns, Row, infer_columns, profile_rows
from streamops.training.scoring import Answer, SklearnModel, open_model, score_answers
from streamops.values import Value
from streamops.versions import profile_hash

PR_SET_PDEATHSIG = 1
MEMORY_FLOOR_BYTES = 1 << 28
CPU_GRACE_S = 5


def run_job(job: Job, artifacts: Path) -> Trained:
    """Fit the job's model, answer the held-out rows, store the artifact."""
    rows = [_ROW.decode(raw) for raw in job.features]
    if len(rows) != len(job.labels):
        raise InputError(f"labels are {len(job.labels)}, rows {len(rows)}; give one a row")
    cut = len(rows) - job.holdout
    champion: tuple[Answer, ...] = ()
    if job.champion:
        champion = tuple(open_model(artifacts, job.champion).answer(rows[max(cut, 0) :]))
    if not job.fit:
        return Trained(champion=champion)
    if cut < 1:
        raise InputError(f"rows are {len(rows)}, {job.holdout} held out; none is left to train on")
    first = max(0, cut - job.recent) if job.recent else 0
    return _fitted(job, rows, range(first, cut), champion, artifacts)


def _fitted(
    job: Job, rows: list[Row], used: range, champion: tuple[Answer, ...], artifacts: Path
) -> Trained:
    training, labels = rows[used.start : used.stop], list(job.labels[used.start : used.stop])
    columns = job.columns or infer_columns(training)
    model = _fit(job, training, labels, columns)
    answers = tuple(model.answer(rows[used.stop :]))
    judged = answers or tuple(model.answer(training))
    truth = list(job.labels[used.stop :]) or labels
    metrics = score_answers(judged, truth, job.task, model.about.positive)
    scores = [
        float(answer.prediction) if job.task == "regression" else answer.score
        for answer in judged
        if job.task == "regression" or answer.score is not None
    ]
    known = [score for score in scores if score is not None]
    if job.refit and answers:
        used = range(used.start, len(rows))
        training, labels = rows[used.start :], list(job.labels[used.start :])
        model = _fit(job, training, labels, columns)
    profiles = model.about.columns
    times = job.times[used.start : used.stop]
    profile = profile_rows(training, labels, known, job.task, columns, metrics, profiles, times)
    return Trained(
        artifact=model.save(artifacts),
        task=job.task,
        columns=columns,
        profile=profile,
        profile_hash=profile_hash(profile),
        positive=model.about.positive,
        rows=len(training),
        content=_content(job, used),
        metrics=metrics,
        answers=answers,
        champion=champion,
    )


def _fit(job: Job, rows: list[Row], labels: list[Value], columns: Columns) -> SklearnModel:
    return fit(rows, labels, task=job.task, columns=columns, model=job.model, positive=job.positive)


def _content(job: Job, used: range) -> str:
    digest = hashlib.sha256()
    for at in used:
        digest.update(bytes(job.features[at]))
        digest.update(b"\t" + msgspec.json.encode(job.labels[at]) + b"\n")
    return digest.hexdigest()


def serve(work: Path, artifacts: Path, memory_bytes: int) -> None:
    """Fork a job for each line on standard input, until it ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(_job(work, artifacts, memory_bytes, float(line)))
        _tell(child)
        _, status = os.waitpid(child, 0)
        _tell(os.waitstatus_to_exitcode(status))


def _tell(number: int) -> None:
    try:
        print(number, flush=True)
    except BrokenPipeError:
        os._exit(0)  # who asked is gone; the job ends with this process


def _job(work: Path, artifacts: Path, memory_bytes: int, seconds: float) -> int:
    os.setpgid(0, 0)
    _end_with_parent()
    errors = os.open(work / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(errors, stream)
    _limit(resource.RLIMIT_AS, max(memory_bytes, MEMORY_FLOOR_BYTES))
    _limit(resource.RLIMIT_CPU, int(seconds) + CPU_GRACE_S)
    warnings.simplefilter("ignore")
    answer: Trained | Failure
    try:
        answer = run_job(_JOB.decode((work / "job").read_bytes()), artifacts)
    except ServiceError as error:
        answer = Failure(error=str(error), is_setting=isinstance(error, ConfigError))
    except Exception as error:
        traceback.print_exc()
        answer = Failure(error=f"{type(error).__name__}: {error}")
    fresh = work / "answer.tmp"
    fresh.write_bytes(msgspec.json.encode(answer))
    fresh.replace(work / "answer")
    sys.stderr.flush()
    return 0


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    top = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (top, hard))


def _end_with_parent() -> None:
    """Be killed when the parent dies (Linux; elsewhere the CPU limit ends a lost job)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Load the libraries, then serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    import sklearn.dummy
    import sklearn.ensemble  # noqa: F401
    import skops.io  # noqa: F401

    # A job's collections would write to each page of the libraries, and so make it the job's own.
    gc.collect()
    gc.freeze()
    serve(Path(arguments[0]), Path(arguments[1]), int(arguments[2]))
    return 0


_ROW: msgspec.json.Decoder[Row] = msgspec.json.Decoder(dict)
_JOB = msgspec.json.Decoder(Job)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
