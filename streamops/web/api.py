"""The JSON API: what each page shows, free-form SQL, health and metrics.

Every route stands in docs/reference/http-api.md, and a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, MediaType, Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.params import FromPath, FromQuery, QueryParameter

from streamops.errors import InputError, TransportError
from streamops.views.queries import Failure, Question, answer_question
from streamops.views.sandbox import Answer
from streamops.web.desk import Desk, Own, part
from streamops.web.gauges import MEDIA_TYPE, exposition
from streamops.web.reads.alerts import AlertPage, Alerts, alert_page, alerts
from streamops.web.reads.bins import FeaturePage, feature_page
from streamops.web.reads.charts import POINTS, POINTS_MAX, Charts, feature_charts, model_charts
from streamops.web.reads.model import ModelPage, model_page
from streamops.web.reads.overview import Overview
from streamops.web.watch import Status

ROWS_MAX = 1000
OFFSET_MAX = 2**63 - 1

Points = Annotated[int, QueryParameter(ge=1, le=POINTS_MAX)]
Rows = Annotated[int, QueryParameter(ge=1, le=ROWS_MAX)]
From = Annotated[int, QueryParameter(ge=0, le=OFFSET_MAX)]
OnlyOpen = Annotated[bool, QueryParameter(name="open")]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there is anything new to show, and whether the views keep up.

    revision  records read in all
    lag       records not yet read, none while the broker gives no answer
    moved_s   seconds since the last record was read
    now       this server's clock
    """

    status: Status
    revision: int
    lag: int | None
    moved_s: float
    reason: str
    now: datetime


def state_of(desk: Desk) -> State:
    """Return the state by the last look."""
    look = desk.watch.last()
    return State(
        status=look.status,
        revision=look.revision,
        lag=look.lag,
        moved_s=look.moved_s,
        reason=look.reason,
        now=datetime.now(UTC),
    )


class Api(Controller):
    """Routes under /api."""

    path = "/api"

    @get("/state", sync_to_thread=True)
    def state(self, desk: Own) -> State:
        """Revision, lag and status; cheap, for polling."""
        return state_of(desk)

    @get("/overview", sync_to_thread=True)
    def overview(self, desk: Own) -> Overview:
        """Models, open alerts, topics."""
        return desk.overview()

    @get("/models/{model:str}", sync_to_thread=True)
    def model(self, desk: Own, model: FromPath[str], segment: FromQuery[str] = "all") -> ModelPage:
        """Versions, features, alerts and latest facts of a model."""
        name = part(model)
        return desk.read(lambda con: model_page(con, name, segment), f"model {name!r}")

    @get("/models/{model:str}/charts", sync_to_thread=True)
    def model_charts(
        self,
        desk: Own,
        model: FromPath[str],
        segment: FromQuery[str] = "all",
        measure: FromQuery[str] = "",
        points: Points = POINTS,
    ) -> Charts:
        """Series over panes, versions as bands, alerts as marks."""
        asked = {"segment": segment, "measure": measure, "points": points}
        return desk.read(lambda con: model_charts(con, part(model), **asked))  # type: ignore[arg-type]

    @get("/models/{model:str}/features/{feature:str}", sync_to_thread=True)
    def feature(
        self,
        desk: Own,
        model: FromPath[str],
        feature: FromPath[str],
        pane: FromQuery[datetime | None] = None,
        version: FromQuery[str] = "",
        segment: FromQuery[str] = "all",
    ) -> FeaturePage:
        """Bins of a feature in a pane beside its reference."""
        return read_feature(desk, part(model), part(feature), pane, version, segment)

    @get("/models/{model:str}/features/{feature:str}/charts", sync_to_thread=True)
    def feature_charts(
        self,
        desk: Own,
        model: FromPath[str],
        feature: FromPath[str],
        segment: FromQuery[str] = "all",
        points: Points = POINTS,
    ) -> Charts:
        """A feature's distances from its reference over panes."""
        own = part(model), part(feature)
        return desk.read(lambda con: feature_charts(con, *own, segment=segment, points=points))

    @get("/alerts", sync_to_thread=True)
    def alerts(
        self,
        desk: Own,
        model: FromQuery[str] = "",
        only_open: OnlyOpen = False,
        limit: Rows = 100,
        offset: From = 0,
    ) -> Alerts:
        """Alerts, newest first."""
        return desk.read(
            lambda con: alerts(con, model, only_open=only_open, limit=limit, offset=offset)
        )

    @get("/alerts/{alert:str}", sync_to_thread=True)
    def alert(self, desk: Own, alert: FromPath[str]) -> AlertPage:
        """An alert with its proof."""
        name = part(alert)
        return desk.read(lambda con: alert_page(con, name), f"alert {name!r}")

    @get("/predictions/{prediction:str}")
    async def prediction(self, desk: Own, prediction: FromPath[str]) -> Response[bytes]:
        """What became of a prediction, as `streamops explain --json` says it."""
        found = await desk.life(part(prediction))
        return Response(msgspec.json.encode(found), media_type=MediaType.JSON)

    @post("/sql", status_code=200)
    async def sql(self, desk: Own, request: Request[Any, Any, Any]) -> Response[Any]:
        """Any SQL, on a copy of the views, in a process of its own with limits."""
        # A browser asks us first before a page from elsewhere may send this type.
        if request.content_type[0] != MediaType.JSON:
            return Response(Failure("send Content-Type: application/json"), status_code=415)
        return await sync_to_thread(answer_sql, desk, await request.body())


def read_feature(
    desk: Desk, model: str, feature: str, pane: datetime | None, version: str, segment: str
) -> FeaturePage:
    """Read a feature in a pane; NotThere if the model has none of this name."""
    asked: dict[str, Any] = {"pane": pane, "version": version, "segment": segment}
    what = f"feature {feature!r} of model {model!r}"
    return desk.read(lambda con: feature_page(con, model, feature, **asked), what)


def answer_sql(desk: Desk, body: bytes) -> Response[Any]:
    """Run the question in a request's body."""
    try:
        question = msgspec.json.decode(body, type=Question)
    except msgspec.MsgspecError as error:
        return Response(Failure(f'body is no {{"sql": "…"}}: {error}'), status_code=400)
    try:
        answer: Answer = answer_question(desk.source.snapshot(), question)
    except InputError as error:
        return Response(Failure(str(error)), status_code=400)
    except TransportError as error:
        return Response(Failure(str(error)), status_code=503)
    return Response(answer)


@get("/health", sync_to_thread=True)
def health(desk: Own) -> Response[State]:
    """Liveness, which is progress: 503 when there are records to read and none was read."""
    state = state_of(desk)
    return Response(state, status_code=503 if state.status == "stalled" else 200)


@get("/metrics", sync_to_thread=True)
def metrics(desk: Own) -> Response[bytes]:
    """Prometheus metrics."""
    return Response(exposition(desk.both), media_type=MEDIA_TYPE)
