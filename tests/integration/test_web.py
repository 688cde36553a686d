"""The materializer with its page, as the service runs it, on a real broker."""

from __future__ import annotations

import threading
import time

import httpx
import msgspec
import pytest

from streamops.errors import InputError
from streamops.settings import Settings
from streamops.views.queries import query
from streamops.web.serve import Address, run_with_page
from tests.story import play
from tests.web_views import publish, raws

TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def story():
    return play(panes=8)


@pytest.fixture
def settings(broker, namespace, tmp_path) -> Settings:
    return Settings(
        bootstrap=broker.bootstrap, namespace=namespace, data=tmp_path, partitions=2, driven=True
    )


class Service:
    """`run_with_page` in a thread, until the block ends; raises what it raised."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stop = settings, threading.Event()
        self._raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            run_with_page(self._settings, self._stop)
        except BaseException as error:
            self._raised.append(error)

    def __enter__(self) -> str:
        self._thread.start()
        file = self._settings.data / "web.json"
        wait_until(lambda: file.exists() or not self._thread.is_alive())
        if self._raised:
            raise self._raised[0]
        return msgspec.json.decode(file.read_bytes(), type=Address).url

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self._raised == []


def wait_until(holds, what=lambda: "not so in time") -> None:
    deadline = time.monotonic() + TIMEOUT_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, what()
        pause.wait(0.05)


def wait_for_views(url: str, total: int) -> None:
    """Until all records are stored and the broker's ends were seen to be reached."""
    wait_until(
        lambda: state(url)["revision"] == total and state(url)["lag"] == 0,
        lambda: f"{total} records expected: {state(url)}, {positions(url)}",
    )


def test_the_service_serves_what_the_topics_hold(settings, story):
    total = publish(story, settings)
    with Service(settings) as url:
        wait_for_views(url, total)
        assert httpx.get(f"{url}/health").json()["status"] == "current"
        topics = {t["topic"]: t for t in httpx.get(f"{url}/api/overview").json()["topics"]}
        for topic in {raw.topic for raw in raws(story)}:
            there = len([raw for raw in raws(story) if raw.topic == topic])
            assert topics[topic]["records"] == there
        metrics = httpx.get(f"{url}/metrics").text
        assert 'streamops_views_lag_records{partition="1",topic="predictions"} 0.0' in metrics


def test_sql_is_asked_over_http_while_the_service_runs_and_of_the_file_after(settings, story):
    total = publish(story, settings)
    sql = "SELECT model, count(*) FROM predictions GROUP BY model ORDER BY model"
    with Service(settings) as url:
        wait_for_views(url, total)
        running = query(settings, sql)
        with pytest.raises(InputError, match="SELEC"):
            query(settings, "SELEC 1")
    stopped = query(settings, sql)
    assert running == stopped
    assert [model for model, _ in running.rows] == ["calm", "churn"]


def test_pages_are_read_while_records_are_stored(settings, story):
    publish(story, settings)
    with Service(settings) as url, httpx.Client(base_url=url) as client:
        statuses = set[int]()
        while state(url)["lag"] != 0:
            statuses |= {client.get(p).status_code for p in ("/", "/api/overview", "/api/alerts")}
        assert statuses <= {200}
        assert client.get("/models/churn").status_code == 200


def positions(url: str) -> list[tuple[str, int, int]]:
    found = httpx.get(f"{url}/api/overview").json()["topics"]
    return [(topic["topic"], topic["records"], topic["lag"]) for topic in found]


def state(url: str) -> dict:
    return httpx.get(f"{url}/api/state").json()
