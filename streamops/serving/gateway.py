"""The HTTP gateway: Open Inference Protocol v2 over the versions that deployments name.

    GET  /v2/health/live, /v2/health/ready, /v2/models/{model}
    POST /v2/models/{model}/infer

A request's `inputs` are tensors: one a column, named as it is, with a value a row; or one named
`rows` of datatype BYTES whose values are JSON objects of columns. The answer has the tensors
`prediction`, `score`, `version` and `prediction_id`, a value a row; each prediction is logged, with
its values about persons hidden as the client of applications hides them (`streamops.personal`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import litestar
import msgspec
import uvicorn
from litestar import Response, get, post
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, JSONBody
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_400_BAD_REQUEST,
    HTTP_500_INTERNAL_SERVER_ERROR,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from streamops.client import Client, hidden
from streamops.disk import broker_disk
from streamops.errors import InputError, TransportError
from streamops.events import ModelRegistered, PredictionMade
from streamops.listener import listen
from streamops.personal import Personal
from streamops.sdk.commands import origin
from streamops.sdk.ids import new_id
from streamops.sdk.plain import plain_features, plain_score, plain_segments, plain_value
from streamops.sdk.run import one_line
from streamops.serving.scorer import Scored, Scorer, Serving
from streamops.settings import Settings

LOG = logging.getLogger(__name__)
ROWS = "rows"
ROWS_MAX = 10_000
POLL_S = 0.05
MS = 1000.0
DATATYPES: dict[type, str] = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


class Tensor(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One tensor of the protocol; `data` is flat, a value a row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True):
    """A request. `parameters.segments` holds declared segment -> value for all its rows,
    `parameters.subject` the person that they are about: a text, or a list of one a row."""

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}


class InferResponse(msgspec.Struct, kw_only=True):
    """An answer."""

    model_name: str
    model_version: str
    id: str
    outputs: list[Tensor]


class ModelFailed(Exception):
    """The served model raised: the user's code, or a row that it can't take."""


class Gateway:
    """What the handlers share: the scorer and the client that logs."""

    def __init__(self, settings: Settings, name: str = "gateway") -> None:
        self.disk = broker_disk(settings)
        self.scorer = Scorer(settings, name)
        self.client = Client(
            settings.bootstrap,
            namespace=settings.namespace,
            source=name,
            kafka=settings.kafka,
            personal=personal_of(settings),
        )

    def follow(self) -> None:
        """Read what has come; a damaged artifact leaves the former version serving."""
        try:
            self.scorer.poll(POLL_S)
        except InputError as error:
            LOG.error("a deployment was not taken up: %s", error)

    def infer(self, model: str, request: InferRequest) -> InferResponse:
        """Answer a request and log each prediction.

        Raises InputError for what can't be read or logged, and then logs no row of it; ModelFailed
        where the model raises, and then logs each row as failed;
        TransportError where answers can't be logged: below the disk's floor, or a full buffer.
        """
        if self.disk is not None:
            self.disk.check()
        begin = time.perf_counter()
        rows = read_rows(request.inputs)
        segments = plain_segments(request.parameters.get("segments"))
        subjects = read_subjects(request.parameters.get("subject"), len(rows))
        # A row that can't be logged is refused before the model is asked.
        logged = [
            hidden(self.client.veil, {"id": new_id()}, plain_features(row), subject)
            for row, subject in zip(rows, subjects, strict=True)
        ]
        serving = self.scorer.serving(model)
        try:
            answers = self.scorer.predict_many(rows, model)
        except InputError:
            raise
        except Exception as error:
            self._log_failures(model, serving, len(rows), error, segments)
            raise ModelFailed(
                f"model {model!r} gave no answer: {one_line(error)}; each row is logged as failed"
            ) from error
        latency_ms = (time.perf_counter() - begin) * MS
        events = [
            _event(model, common["id"], raw, answer, latency_ms, segments)
            for (common, raw), answer in zip(logged, answers, strict=True)
        ]
        self.client.send_all(events)
        ids = [event.id for event in events]
        return InferResponse(
            model_name=model,
            model_version=answers[0].version if answers else "",
            id=request.id,
            outputs=write_tensors(answers, ids),
        )

    def close(self) -> None:
        """Send what is left."""
        self.client.close()
        self.scorer.close()

    def _log_failures(
        self,
        model: str,
        serving: Serving | None,
        rows: int,
        error: Exception,
        segments: Mapping[str, str],
    ) -> None:
        version = "" if serving is None else serving.target.version
        for _ in range(rows):
            self.client.log_failure(model=model, version=version, error=error, segments=segments)


def _event(
    model: str,
    id_: str,
    raw: msgspec.Raw,
    answer: Scored,
    latency_ms: float,
    segments: dict[str, str],
) -> PredictionMade:
    return PredictionMade(
        model=model,
        version=answer.version,
        prediction=plain_value("prediction", answer.prediction),
        score=plain_score(answer.score),
        features=raw,
        latency_ms=latency_ms,
        segments=segments,
        deployment_step=answer.step_id,
        **origin(id_, None),
    )


def personal_of(settings: Settings) -> Personal | None:
    """Return what is about persons in what is served; None where nothing is marked."""
    if not settings.personal and not settings.personal_ids:
        return None
    return Personal(keys=settings.keys, features=settings.personal, ids=settings.personal_ids)


def read_subjects(given: object, rows: int) -> list[str | None]:
    """Return each row's person; raises InputError for what is neither a text nor one a row."""
    if given is None or isinstance(given, str):
        return [given] * rows
    if not isinstance(given, list) or not all(isinstance(one, str | None) for one in given):
        raise InputError("subject is no text; name the person, or send a list of one a row")
    if len(given) != rows:
        raise InputError(f"subject has {len(given)} persons for {rows} rows; send one a row")
    return given


def read_rows(inputs: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return the rows that tensors hold; raises InputError naming tensor, value and fix."""
    if not inputs:
        raise InputError("inputs is empty; send a tensor a column, or one named `rows`")
    counts = {len(tensor.data) for tensor in inputs}
    if len(counts) != 1:
        raise InputError(f"inputs have {sorted(counts)} values; send as many in each column")
    count = counts.pop()
    if count > ROWS_MAX:
        raise InputError(f"inputs have {count} rows, at most {ROWS_MAX}; send several requests")
    for tensor in inputs:
        if tensor.shape not in ([count], [count, 1]):
            raise InputError(f"shape of {tensor.name!r} is {tensor.shape}; use [{count}]")
    if len(inputs) == 1 and inputs[0].name == ROWS:
        return [_row(value) for value in inputs[0].data]
    return [{tensor.name: tensor.data[at] for tensor in inputs} for at in range(count)]


def _row(value: Any) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.DecodeError as error:
        raise InputError(f"rows holds {value!r}: {error}; send JSON objects of columns") from None
    if not isinstance(row, dict):
        raise InputError(f"rows holds {value!r}; send JSON objects of columns")
    return row


def write_tensors(answers: Sequence[Scored], ids: Sequence[str]) -> list[Tensor]:
    """Return an answer's tensors: prediction, score (where there is one), version, id."""
    columns: dict[str, list[Any]] = {"prediction": [a.prediction for a in answers]}
    if all(answer.score is not None for answer in answers):
        columns["score"] = [answer.score for answer in answers]
    columns["version"] = [answer.version for answer in answers]
    columns["prediction_id"] = list(ids)
    return [
        Tensor(
            name=name,
            shape=[len(data)],
            datatype=DATATYPES[type(data[0])] if data else "BYTES",
            data=data,
        )
        for name, data in columns.items()
    ]


class Metadata(msgspec.Struct, kw_only=True):
    """A model's metadata in the protocol's form."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def metadata_of(model: str, registered: ModelRegistered) -> Metadata:
    """Return what the protocol says about the version that serves."""
    kinds: dict[str, str] = {"numeric": "FP64", "boolean": "BOOL", "category": "BYTES"}
    features = registered.version.profile.features
    return Metadata(
        name=model,
        versions=[registered.version.version],
        platform=f"streamops_{registered.runner}",
        inputs=[{"name": f.name, "datatype": kinds[f.kind], "shape": [-1]} for f in features],
        outputs=[
            {"name": name, "datatype": datatype, "shape": [-1]}
            for name, datatype in (
                ("prediction", "FP64" if registered.version.task == "regression" else "BYTES"),
                ("score", "FP64"),
                ("version", "BYTES"),
                ("prediction_id", "BYTES"),
            )
        ],
    )


def make_app(gateway: Gateway) -> litestar.Litestar:
    """Return the application; it holds no state of its own."""

    @get("/v2/health/live", sync_to_thread=False)
    def live() -> dict[str, bool]:
        return {"live": True}

    @get("/v2/health/ready", sync_to_thread=False)
    def ready() -> Response[dict[str, bool]]:
        sure = any(gateway.scorer.serving(model) for model in gateway.scorer.models())
        status = HTTP_200_OK if sure else HTTP_503_SERVICE_UNAVAILABLE
        return Response({"ready": sure}, status_code=status)

    @get("/v2/models/{model:str}", sync_to_thread=False)
    def metadata(model: FromPath[str]) -> Metadata:
        serving = gateway.scorer.serving(model)
        known = serving and gateway.scorer.registered(model, serving.target.version)
        if not known:
            raise NotFoundException(gateway.scorer.unserved(model))
        return metadata_of(model, known)

    @post("/v2/models/{model:str}/infer", status_code=HTTP_200_OK, sync_to_thread=True)
    def infer(model: FromPath[str], data: JSONBody[InferRequest]) -> InferResponse:
        if gateway.scorer.serving(model) is None:
            raise NotFoundException(gateway.scorer.unserved(model))
        try:
            return gateway.infer(model, data)
        except InputError as error:
            raise HTTPException(str(error), status_code=HTTP_400_BAD_REQUEST) from None
        except TransportError as error:
            raise HTTPException(str(error), status_code=HTTP_503_SERVICE_UNAVAILABLE) from None

    return litestar.Litestar(
        [live, ready, metadata, infer],
        openapi_config=None,
        exception_handlers={ModelFailed: tell_failure},
    )


def tell_failure(_: object, error: ModelFailed) -> Response[dict[str, Any]]:
    """Answer with the reason, which the framework keeps to itself for this status."""
    LOG.error("%s", error)
    status = HTTP_500_INTERNAL_SERVER_ERROR
    return Response({"status_code": status, "detail": str(error)}, status_code=status)


def run_gateway(settings: Settings, host: str, port: int, stop: threading.Event) -> None:
    """Serve HTTP and follow deployments until `stop`.

    Raises ConfigError for an address that can't be had, ServiceError if the server ends by itself.
    """
    listener = listen("the gateway", host, port)
    try:
        gateway = Gateway(settings)
    except BaseException:
        listener.close()
        raise
    config = uvicorn.Config(make_app(gateway), log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, args=([listener],), name="gateway-http", daemon=True
    )
    thread.start()
    try:
        while not stop.is_set():
            gateway.follow()
            if not thread.is_alive():
                raise TransportError("the gateway's HTTP server ended; see the log above")
    finally:
        server.should_exit = True
        thread.join()
        gateway.close()
        listener.close()
