"""The pages' routes, and the files they load."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import MediaType, Response, get
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from streamops.errors import InputError
from streamops.web.api import read_feature
from streamops.web.assets import assets
from streamops.web.desk import Desk, NotThere, Own, part
from streamops.web.markup import path
from streamops.web.pages.alert import alert_page as render_alert
from streamops.web.pages.feature import feature_page as render_feature
from streamops.web.pages.model import model_page as render_model
from streamops.web.pages.overview import overview_page as render_overview
from streamops.web.pages.prediction import prediction_page as render_prediction
from streamops.web.pages.prediction import unknown_page
from streamops.web.reads.alerts import alert_page
from streamops.web.reads.model import model_page

FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
NOT_KEPT = {"Cache-Control": "no-store"}


def html(content: bytes, status: int = 200) -> Response[bytes]:
    """Return a page as an answer."""
    return Response(content, media_type=MediaType.HTML, status_code=status, headers=NOT_KEPT)


@get("/", sync_to_thread=True)
def overview(desk: Own) -> Response[bytes]:
    """The live overview."""
    return html(render_overview(desk.overview()))


@get("/models/{model:str}", sync_to_thread=True)
def model(
    desk: Own, model: FromPath[str], segment: FromQuery[str] = "all", measure: FromQuery[str] = ""
) -> Response[bytes]:
    """A model over time."""
    name = part(model)
    found = desk.read(lambda con: model_page(con, name, segment), f"model {name!r}")
    chosen = measure if measure in found.measures else next(iter(found.measures), "")
    return html(render_model(found, chosen))


@get("/models/{model:str}/features/{feature:str}", sync_to_thread=True)
def feature(
    desk: Own,
    model: FromPath[str],
    feature: FromPath[str],
    pane: FromQuery[str] = "",
    version: FromQuery[str] = "",
    segment: FromQuery[str] = "all",
    shown: FromQuery[str] = "",
) -> Response[bytes]:
    """A feature in a pane; `shown` is a pane and a version, as the page's own form sends them."""
    if shown:
        pane, _, version = shown.partition(" ")
    own = part(model), part(feature)
    return html(render_feature(read_feature(desk, *own, time_of(pane), version, segment)))


@get("/alerts/{alert:str}", sync_to_thread=True)
def alert(desk: Own, alert: FromPath[str]) -> Response[bytes]:
    """An alert with its proof."""
    name = part(alert)
    return html(render_alert(desk.read(lambda con: alert_page(con, name), f"alert {name!r}")))


@get("/predictions/{prediction:str}")
async def prediction(desk: Own, prediction: FromPath[str]) -> Response[bytes]:
    """What became of a prediction."""
    return html(*await explained(desk, part(prediction)))


@get("/predictions")
async def asked(desk: Own, id: FromQuery[str] = "") -> Response[bytes] | Redirect:
    """The same by the form, which takes an alert's id, too."""
    if id.startswith("alert/"):
        return Redirect(path("alerts", id))
    return html(*await explained(desk, id))


async def explained(desk: Desk, id_: str) -> tuple[bytes, int]:
    """Return a prediction's page and status."""
    try:
        return render_prediction(await desk.life(id_)), 200
    except NotThere as error:
        return unknown_page(f"{error}."), 404


@get("/static/{name:str}", sync_to_thread=False)
def static(name: FromPath[str]) -> Response[bytes]:
    """A file the pages load."""
    found = assets().get(name)
    if found is None:
        raise NotThere(f"file {name!r}")
    return Response(found.content, media_type=found.media_type, headers=FOR_EVER)


def time_of(text: str) -> datetime | None:
    """Return a time in UTC, None for empty; InputError for what isn't one."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or one in no year of UTC
        raise InputError(f"pane is {text!r}; give its start as 2026-05-01T12:00:00Z") from None
