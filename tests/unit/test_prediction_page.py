"""The page of one prediction and its twin in the API, over views and an archive of the story."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path

import msgspec
import pytest
from litestar.testing import TestClient

import streamops
from streamops import codec
from streamops.audit.biography import biography
from streamops.commands.answers import explain
from streamops.core.personal import NAME
from streamops.errors import TransportError
from streamops.events import ActionTaken, PredictionMade
from streamops.hosts.memory import MemoryHost
from streamops.personal import Veil
from streamops.settings import Settings
from streamops.views.log import RawRecord
from streamops.web.app import create_app
from streamops.web.lives import AT_ONCE, Lives
from streamops.web.markup import path
from tests.story import archive, at, make_counting, play
from tests.web_views import StoredViews, raws

ODD = "a/b c?d=1&e%2F#ü"
DOTS = ".."
EVIL = "<script>alert(1)</script>"
PERSONAL, SUBJECT = "personal", "person 3"


def odd_ones(veil: Veil) -> list[PredictionMade]:
    """Predictions of ids that need quoting, and one about a person."""
    given = {"model": "churn", "version": "v1", "prediction": EVIL, "time": at(1)}
    raw = msgspec.Raw(b'{"plan":"<b>","x":1.5}')
    found = [PredictionMade(id=id_, features=raw, **given) for id_ in (ODD, DOTS, EVIL)]
    hidden = veil.features(raw, PERSONAL, SUBJECT)
    return [*found, PredictionMade(id=PERSONAL, features=hidden, **given)]


@cache
def host() -> MemoryHost:
    return play(panes=6, every_s=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an archive, of a namespace in which a person was forgotten."""
    folder = tmp_path_factory.mktemp("page")
    veil = Veil(streamops.Personal(keys=folder / "live.keys", features=("x",)))
    for made in odd_ones(veil):
        host().append("predictions", made.id, made)
    erasure = veil.keys.begin_erasure(SUBJECT)
    host().append("audit", "ada", ActionTaken(
        id=f"forget/{erasure.name}", time=at(0), actor="ada", action="forget",
        target=erasure.name, correlation_id=str(erasure.number), detail="Art. 17",
    ))  # fmt: skip
    veil.keys.destroy(erasure)
    archive(host(), folder / "live" / "archive")
    return folder / "live"


@pytest.fixture(scope="module")
def views(data: Path, tmp_path_factory: pytest.TempPathFactory):
    """All that is archived, and a prediction that isn't yet."""
    made = PredictionMade(
        id="later", time=datetime(2027, 5, 1, tzinfo=UTC), model="m", version="v", prediction="a"
    )
    place = "predictions", 0, len(host().log["predictions", 0]), 0
    later = RawRecord(*place, b"later", codec.encode(made))
    stored = StoredViews(tmp_path_factory.mktemp("views"), [*raws(host()), later])
    yield stored
    stored.close()


@pytest.fixture(scope="module")
def page(data: Path, views: StoredViews):
    yield from serve(data, views)


def serve(data: Path, views: StoredViews):
    app = create_app(views, Settings(bootstrap="none", data=data))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def test_from_an_alert_one_comes_to_its_predictions_and_back(page, data):
    """By links alone; the page names every record that `explain` names."""
    alerts = page.get("/api/alerts", params={"model": "churn"}).json()["alerts"]
    found = next(a for a in alerts if a["metric"] == "psi" and a["segment"] == "all")
    address = path("alerts", found["alert_id"])
    shown = page.get(address).text
    links = re.findall(r'href="(/predictions/[^"]+)"', shown)
    assert len(links) == 10
    life = page.get(links[0])
    assert life.status_code == 200
    assert f'href="{address}"' in life.text
    assert f"streamops verify {found['alert_id']}" in life.text
    known = biography(data / "archive", links[0].removeprefix("/predictions/"))
    parts = (*known.made, *known.labels, *known.outcomes, *known.panes)
    assert all(part.at in life.text for part in parts)
    assert "data-live" not in life.text  # it isn't read again and again


def test_predictions_of_an_alert_are_of_its_segment(page):
    alerts = page.get("/api/alerts", params={"model": "churn"}).json()["alerts"]
    (found, *_) = [a for a in alerts if a["segment"] == "country=de"]
    listed = page.get(path("api", "alerts", found["alert_id"])).json()["predictions"]
    assert listed
    for one in listed[:3]:
        made = page.get(path("api", "predictions", one["id"])).json()["made"][0]["event"]
        assert made["segments"]["country"] == "de"
        assert made["version"] == found["version"]


def test_the_api_says_what_the_command_says(page, data, capsys):
    id_ = "churn-200-0"
    answer = page.get(path("api", "predictions", id_))
    assert answer.headers["content-type"] == "application/json"
    explain(id_, archive=data / "archive", json=True)
    assert answer.json() == json.loads(capsys.readouterr().out)
    assert answer.json()["id"] == id_
    assert len(answer.json()["panes"]) > 0


@pytest.mark.parametrize("id_", [ODD, EVIL])
def test_an_id_that_needs_quoting_has_a_page(page, id_):
    found = page.get(path("predictions", id_))
    assert found.status_code == 200
    assert page.get(path("api", "predictions", id_)).json()["id"] == id_
    assert "<script>alert" not in found.text
    assert "<b>" not in found.text
    assert "&lt;script&gt;alert(1)" in found.text


@pytest.mark.parametrize("id_", [ODD, DOTS, "churn-200-0"])
def test_the_form_finds_it_too(page, id_):
    form = re.search(r"<form[^>]*>", page.get("/").text)
    assert form is not None
    assert 'action="/predictions"' in form[0]
    found = page.get("/predictions", params={"id": id_})
    assert found.status_code == 200
    assert f"<small>{escape(id_)}</small>" in found.text


def test_the_form_finds_alerts(page):
    alert_id = page.get("/api/alerts").json()["alerts"][0]["alert_id"]
    found = page.get("/predictions", params={"id": alert_id}, follow_redirects=False)
    assert found.headers["location"] == path("alerts", alert_id)


def test_values_about_a_person_who_was_forgotten_are_gone(page):
    found = page.get(path("predictions", PERSONAL)).text
    assert "erased by request 1" in found
    assert NAME not in found
    assert "<td><code>x</code></td>" not in found
    assert "<td><code>plan</code></td>" in found


def test_an_unknown_id_is_named_and_the_form_offered_again(page, data):
    found = page.get(path("predictions", EVIL + "?"))
    assert found.status_code == 404
    assert "&lt;script&gt;alert(1)" in found.text
    assert "neither in the archive" in found.text
    assert 'action="/predictions"' in found.text
    assert page.get("/predictions").status_code == 404
    answer = page.get("/api/predictions/nobody")
    assert answer.status_code == 404
    assert f"{str(data / 'archive')!r}" in answer.json()["detail"]


def test_one_that_is_not_archived_yet_is_told_apart(page, views, tmp_path):
    found = page.get("/api/predictions/later")
    assert found.status_code == 404
    assert "the archiver writes a file once no record came for 10 s" in found.json()["detail"]
    for client in serve(tmp_path / "none", views):
        assert client.get("/predictions/any").status_code == 404


def test_a_file_that_lacks_is_said(views, tmp_path):
    told = MemoryHost(partitions=1, make_detector=make_counting)
    told.append("predictions", "one", PredictionMade(
        id="one", time=at(1), model="m", version="v", prediction="a"))  # fmt: skip
    folder = archive(told, tmp_path / "archive")
    (file,) = (folder / "raw" / "topic=predictions").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    for client in serve(tmp_path, views):
        for address in ("/predictions/one", "/api/predictions/one"):
            answer = client.get(address)
            assert answer.status_code == 503
            assert file.name in answer.text


def test_slow_reads_wait_in_a_line_of_their_own():
    """However many are asked for, the loop goes on, and no more than a few are read at once."""
    begun, gate = threading.Semaphore(0), threading.Event()
    lock, together, counts = threading.Lock(), [0], [0]

    def read(archive: Path, id_: str):
        with lock:
            together[0] += 1
            counts.append(together[0])
        begun.release()
        assert gate.wait(30)
        with lock:
            together[0] -= 1
        raise TransportError("a file lacks")

    async def ask() -> list[BaseException | object]:
        lives = Lives(Path("none"), read)
        asked = [asyncio.ensure_future(lives.of(str(n))) for n in range(3 * AT_ONCE)]
        for _ in range(AT_ONCE):
            await asyncio.to_thread(begun.acquire)
        assert not any(one.done() for one in asked)
        gate.set()
        try:
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            lives.close()

    found = asyncio.run(ask())
    assert [type(one) for one in found] == [TransportError] * (3 * AT_ONCE)
    assert max(counts) == AT_ONCE
