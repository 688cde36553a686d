"""The client of applications: log predictions and labels, record runs, command, read alerts.

    with streamops.Client("localhost:9092", source="shop") as client:
        sale = client.log_prediction(model="demand", version="1", prediction=True, features={...})
        client.log_label(sale, False)

Nothing waits for the broker but `flush`, `close` and a full buffer under `on_full="block"`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from streamops.errors import ConfigError, InputError, ServiceError
from streamops.events import (
    DatasetVersioned,
    Event,
    LabelArrived,
    PredictionFailed,
    PredictionMade,
    RunStarted,
)
from streamops.sdk.alerts import Alert, AlertReader, Patience, Resume, read_alerts
from streamops.sdk.commands import Commands, origin
from streamops.sdk.dataset import describe
from streamops.sdk.ids import new_id
from streamops.sdk.plain import (
    not_a_dict,
    plain_features,
    plain_number,
    plain_score,
    plain_segments,
    plain_value,
)
from streamops.sdk.predictor import answer
from streamops.sdk.run import Run, one_line, read_commit, read_environment
from streamops.sdk.sender import CLOSE_TIMEOUT_S, Sender, Sending
from streamops.settings import DEFAULT_NAMESPACE, Settings
from streamops.topics import topic_name
from streamops.values import Value

if TYPE_CHECKING:
    from streamops.personal import Personal, Veil

DELIVERY_TIMEOUT_MAX_S = 2_147_483  # librdkafka counts milliseconds in 31 bits


class Client(Commands):
    """One connection of an application; safe to share between threads, not across a fork.

    bootstrap  Kafka's address, host:port[,host:port]
    namespace  prefix of the topics
    source     who sends, a URI reference; the host and the program if none
    kafka      further client settings (security), as librdkafka names them
    encoding   json, or msgpack where bytes are dear
    buffer     most records that wait for the broker; 256 MiB bound them too
    on_full    what a full buffer does to a call: raise TransportError, or block
    delivery_timeout_s  how long a record is tried before it counts as not delivered
    on_error   called with each record's delivery failure, from the call that learns of it
    personal   what of its records is about persons; these are then named by `subject`

    Each call that sends raises InputError for what readers would refuse, and TransportError for
    earlier records that were not delivered; then its own record was not taken. Used as a context,
    it is closed, which flushes; a process that ends without that flushes too.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        source: str | None = None,
        kafka: Mapping[str, str] | None = None,
        encoding: Literal["json", "msgpack"] = "json",
        buffer: int = 100_000,
        on_full: Literal["raise", "block"] = "raise",
        delivery_timeout_s: float = 300.0,
        on_error: Callable[[ServiceError], None] | None = None,
        personal: Personal | None = None,
    ) -> None:
        topic_name(namespace, "alerts")  # refuses a namespace Kafka can't take
        own = {} if kafka is None else kafka
        if not isinstance(own, Mapping):
            raise ConfigError(f"kafka is {own!r}; give a dict of client settings by name")
        if not isinstance(bootstrap, str) or not (bootstrap or "bootstrap.servers" in own):
            raise ConfigError(f"bootstrap is {bootstrap!r}; give Kafka's address, host:port")
        self.settings = Settings(bootstrap=bootstrap, namespace=namespace, kafka=dict(own))
        sending = Sending(
            source=source or default_source(),
            encoding=encoding,
            buffer=buffer,
            on_full=on_full,
            delivery_timeout_s=delivery_timeout_s,
            on_error=on_error,
        )
        self._sender = Sender(self.settings, checked(sending))
        self.veil = None if personal is None else veil_of(personal)

    @property
    def blocks(self) -> bool:
        """Whether a full buffer makes calls wait."""
        return self._sender.sending.on_full == "block"

    def send(self, event: Event) -> None:
        """Send an event as it is; for whoever builds events from `streamops.events`."""
        self._sender.send(event)

    def send_all(self, events: Sequence[Event]) -> None:
        """Send events as they are: none of them where readers would refuse one."""
        self._sender.send_all(events)

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Return once the broker has acknowledged every record; TransportError if it has not."""
        self._sender.flush(timeout_s)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Flush and end; a second call does nothing."""
        self._sender.close(timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except ServiceError as failure:
            if error is None:
                raise
            error.add_note(f"and on close: {failure}")

    def predict(
        self,
        predictor: Any,
        features: Mapping[str, Any],
        *,
        model: str,
        version: str,
        id: str | None = None,
        segments: Mapping[str, str] | None = None,
        subject: str | None = None,
    ) -> Any:
        """Ask a model for one row, log the answer with its score and latency, and return it.

        predictor  an object with `predict` (scikit-learn) or `predict_one` (river), or a function
                   from features to a prediction or to (prediction, score)
        What the model raises is logged as PredictionFailed and goes on. Features are checked
        before the model is asked.
        """
        common, raw = hidden(self.veil, origin(id, None), plain_features(features), subject)
        begin = perf_counter()
        try:
            given = answer(predictor, features)
        except Exception as error:
            self._log_raised(
                error,
                model=model,
                version=version,
                latency_ms=elapsed_ms(begin),
                segments=segments,
                id=common["id"],
            )
            raise
        latency_ms = elapsed_ms(begin)
        self.send(
            PredictionMade(
                model=model,
                version=version,
                prediction=plain_value("prediction", given.prediction),
                score=plain_score(given.score),
                features=raw,
                latency_ms=latency_ms,
                segments=plain_segments(segments),
                **common,
            )
        )
        return given.prediction

    def log_prediction(
        self,
        *,
        model: str,
        version: str,
        prediction: Value,
        features: Mapping[str, Any],
        score: float | None = None,
        id: str | None = None,
        time: datetime | None = None,
        latency_ms: float | None = None,
        segments: Mapping[str, str] | None = None,
        deployment_step: str = "",
        subject: str | None = None,
    ) -> str:
        """Log what a model answered; returns the prediction's id, which its label must name.

        features    by column; None is a missing value
        score       probability of the positive class (binary) or of the predicted class, 0..1
        latency_ms  from request to answer, milliseconds
        segments    declared segment -> value
        subject     the person that it is about, where the client has `personal`
        """
        common, raw = hidden(self.veil, origin(id, time), plain_features(features), subject)
        event = PredictionMade(
            model=model,
            version=version,
            prediction=plain_value("prediction", prediction),
            score=plain_score(score),
            features=raw,
            latency_ms=None if latency_ms is None else plain_number("latency_ms", latency_ms),
            segments=plain_segments(segments),
            deployment_step=deployment_step,
            **common,
        )
        self.send(event)
        return event.id

    def log_failure(
        self,
        *,
        model: str,
        version: str,
        error: BaseException | str,
        id: str | None = None,
        time: datetime | None = None,
        latency_ms: float | None = None,
        segments: Mapping[str, str] | None = None,
        subject: str | None = None,
    ) -> str:
        """Log that a model gave no answer, for the error rate; returns the prediction's id.

        error       what it raised, kept as one line; the other arguments as in `log_prediction`
        """
        common = origin(id, time)
        if subject is not None and self.veil is not None:
            common["id"] = self.veil.id(common["id"], subject)
        event = PredictionFailed(
            model=model,
            version=version,
            error=error if isinstance(error, str) else one_line(error),
            latency_ms=None if latency_ms is None else plain_number("latency_ms", latency_ms),
            segments=plain_segments(segments),
            **common,
        )
        self.send(event)
        return event.id

    def log_label(
        self,
        prediction_id: str,
        label: Value,
        *,
        time: datetime | None = None,
        id: str | None = None,
        subject: str | None = None,
    ) -> str:
        """Log the truth about one prediction; returns the label's id.

        subject  the person, where `prediction_id` is the application's own and not the one that
                 `log_prediction` returned
        """
        if subject is not None and self.veil is not None:
            prediction_id = self.veil.id(prediction_id, subject)
        event = LabelArrived(
            prediction_id=prediction_id, label=plain_value("label", label), **origin(id, time)
        )
        self.send(event)
        return event.id

    def _log_raised(self, error: Exception, **about: Any) -> None:
        """Log what a model raised; where that fails it is noted on the error, which goes on."""
        try:
            self.log_failure(error=error, **about)
        except ServiceError as failure:
            error.add_note(f"and its PredictionFailed was not sent: {failure}")

    def dataset(
        self,
        name: str,
        content: Any,
        *,
        version: str | None = None,
        parent: str = "",
        uri: str = "",
        rows: int | None = None,
        id: str | None = None,
        time: datetime | None = None,
    ) -> DatasetVersioned:
        """Record a data set by its content: a path, bytes, or a data frame.

        version  the first 12 digits of the content's SHA-256 if none
        parent   version it was made from
        rows     counted for frames, .csv and (with pyarrow) .parquet; else give it, or it is 0
        """
        if isinstance(rows, int) and rows < 0:
            raise InputError(f"rows is {rows}; give 0 or more, or leave it out")
        found = describe(content)
        event = DatasetVersioned(
            dataset=name,
            version=version or found.content_hash[:12],
            content_hash=found.content_hash,
            rows=found.rows if rows is None else rows,
            columns=found.columns,
            parent=parent,
            uri=uri or found.uri,
            **origin(id, time),
        )
        self.send(event)
        return event

    def run(
        self,
        model: str,
        *,
        parameters: Mapping[str, Value] | None = None,
        dataset: str = "",
        request_id: str = "",
        run_id: str | None = None,
        time: datetime | None = None,
    ) -> Run:
        """A context for one training run; see `Run` for what it records by itself.

        dataset     what it learns from: NAME@VERSION of `dataset`, or NAME for the newest by then
        request_id  the RetrainRequested it answers; the run's id is that id (EPOCHS 22)
        """
        given = {} if parameters is None else parameters
        if not isinstance(given, Mapping):
            raise not_a_dict("parameters", given)
        plain = {k: plain_value(f"parameter {k}", v) for k, v in given.items()}
        started = RunStarted(
            model=model,
            run_id=run_id or request_id or new_id(),
            request_id=request_id,
            parameters=plain,
            dataset=dataset,
            code_commit=read_commit(),
            environment=read_environment(),
            **origin(None, time),
        )
        return Run(self.send, started)

    def alerts(
        self,
        *,
        group: str = "client",
        resume_from: Resume = "last",
        follow: bool = True,
        timeout: float | None = None,
    ) -> Iterator[Alert]:
        """Alerts, resolutions and silences as they come, each once.

        group    name of this reader; its position is kept under it
        resume_from  `last`: after what the group consumed, or the beginning; `earliest`: the
                 beginning again; `latest`: only what comes from now on
        follow   wait for more at the end of the log
        timeout  seconds without an alert after which it ends; None waits for ever
        An alert counts as consumed when the next one is asked for: leave the loop at one, by
        `break` or by an exception, and it comes again. Raises TransportError without a broker.
        """
        reader = AlertReader(self.settings, group=group, resume_from=resume_from)
        yield from read_alerts(reader, Patience(follow=follow, timeout_s=timeout))


def veil_of(personal: Personal) -> Veil:
    """What hides values of persons; loads the cryptography with it."""
    from streamops.personal import Personal, Veil

    if not isinstance(personal, Personal):
        raise ConfigError(f"personal is {personal!r}; give a streamops.Personal")
    return Veil(personal)


def hidden(
    veil: Veil | None, common: dict[str, Any], raw: msgspec.Raw, subject: str | None
) -> tuple[dict[str, Any], msgspec.Raw]:
    """Id and time, and features, of a prediction with what is personal hidden."""
    if veil is None:
        return common, raw
    id_ = veil.id(common["id"], subject)
    return {**common, "id": id_}, veil.features(raw, id_, subject)


def checked(sending: Sending) -> Sending:
    """The settings, or ConfigError naming the first that can't hold."""
    if sending.encoding not in ("json", "msgpack"):
        raise ConfigError(f'encoding is {sending.encoding!r}; use "json" or "msgpack"')
    if sending.on_full not in ("raise", "block"):
        raise ConfigError(f'on_full is {sending.on_full!r}; use "raise" or "block"')
    if not isinstance(sending.source, str):
        raise ConfigError(f"source is {sending.source!r}; give a text, as //host/program")
    if sending.on_error is not None and not callable(sending.on_error):
        raise ConfigError(f"on_error is {sending.on_error!r}; give a function of one error")
    if not isinstance(sending.buffer, int) or sending.buffer < 1:
        raise ConfigError(f"buffer is {sending.buffer!r}; use at least 1 record")
    seconds = sending.delivery_timeout_s
    if not isinstance(seconds, int | float) or not 0 < seconds <= DELIVERY_TIMEOUT_MAX_S:
        raise ConfigError(
            f"delivery_timeout_s is {seconds!r}; use more than 0 and at most "
            f"{DELIVERY_TIMEOUT_MAX_S:,}"
        )
    return sending


def default_source() -> str:
    """`//host/program`."""
    return f"//{socket.gethostname()}/{Path(sys.argv[0]).stem or 'python'}"


def elapsed_ms(begin: float) -> float:
    return (perf_counter() - begin) * 1000
