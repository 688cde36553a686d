"""The HTTP gateway on a real broker: protocol, answers, and what it logs."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from datetime import timedelta

import httpx
import msgspec
import pytest

from streamops import codec
from streamops.core.times import EPOCH
from streamops.errors import ConfigError, InputError
from streamops.events import (
    ActivationDelivered,
    ModelRegistered,
    PredictionFailed,
    PredictionMade,
    StageChanged,
)
from streamops.kafka.admin import create_topics
from streamops.kafka.clients import make_producer
from streamops.kafka.follow import Follower
from streamops.serving.gateway import Tensor, read_rows, run_gateway
from streamops.settings import Settings
from streamops.training.batch import train
from streamops.training.scoring import SklearnModel
from streamops.values import ModelVersion

WAIT_S = 60
ROWS = [{"x": (at * 37) % 101 / 10, "kind": "ab"[at % 2]} for at in range(200)]
LABELS = ["up" if row["x"] > 5 else "down" for row in ROWS]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway") / "artifacts"
    return folder.parent, train(ROWS, LABELS, artifacts=folder, task="binary")


@pytest.fixture
def settings(broker, namespace, trained):
    create_topics({"bootstrap.servers": broker.bootstrap}, namespace, 1)
    return Settings(
        bootstrap=broker.bootstrap, namespace=namespace, data=trained[0], partitions=1, driven=True
    )


def deploy(settings, trained):
    version = ModelVersion(
        model="m",
        version="1",
        task="binary",
        profile=trained.profile,
        profile_hash=trained.profile_hash,
        positive=trained.positive,
        artifact=trained.artifact,
    )
    stage = StageChanged(
        id="stage/1",
        time=EPOCH + timedelta(hours=1),
        model="m",
        version="1",
        before="Staging",
        after="Production",
        revision=1,
        cause="gate",
    )
    delivered = ActivationDelivered(id="d", time=EPOCH, revision=1, model="m", version="1")
    producer = make_producer(settings, "test")
    for topic, event in (
        ("lifecycle", ModelRegistered(id="r", time=EPOCH, version=version)),
        ("deployments", stage),
        ("lifecycle", delivered),
    ):
        producer.produce(settings.topic(topic), codec.encode(event), b"m")
    producer.flush()


def tensor(name, data, datatype="FP64"):
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data}


@pytest.fixture
def http(settings):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    stop = threading.Event()
    thread = threading.Thread(target=run_gateway, args=(settings, "127.0.0.1", port, stop))
    thread.start()
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
        yield client
    stop.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_a_port_that_is_taken_is_named(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"gateway can't listen on 127.0.0.1:{port} .*--port"):
            run_gateway(settings, "127.0.0.1", port, threading.Event())


def until_ready(http):
    deadline = time.monotonic() + WAIT_S
    while http.get("/v2/health/ready").status_code != 200:
        assert time.monotonic() < deadline


def test_answers_by_the_protocol_and_logs_each(http, settings, trained):
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").status_code == 503
    assert http.get("/v2/models/m").status_code == 404
    deploy(settings, trained[1])
    until_ready(http)
    about = http.get("/v2/models/m").json()
    assert about["versions"] == ["1"]
    assert [column["name"] for column in about["inputs"]] == ["x", "kind"]

    inputs = [tensor("x", [9.5, 0.5]), tensor("kind", ["a", None], "BYTES")]
    body = {"id": "q", "inputs": inputs, "parameters": {"segments": {"shop": "north"}}}
    answer = http.post("/v2/models/m/infer", json=body).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (answer["id"], answer["model_version"]) == ("q", "1")
    assert outputs["prediction"]["data"] == ["up", "down"]
    assert outputs["score"]["data"][0] > 0.5 > outputs["score"]["data"][1]

    rows = [tensor("rows", ['{"x": 9.5, "kind": "a"}'], "BYTES")]
    same = http.post("/v2/models/m/infer", json={"inputs": rows}).json()
    assert same["outputs"][0]["data"] == ["up"]

    ids = outputs["prediction_id"]["data"] + same["outputs"][3]["data"]
    follower = Follower(settings, "test-reader", ("predictions",))
    deadline, logged = time.monotonic() + WAIT_S, []
    while len(logged) < 3:
        logged += [record.event for record in follower.poll(0.1)]
        assert time.monotonic() < deadline
    follower.close()
    assert all(isinstance(event, PredictionMade) for event in logged)
    assert {event.id for event in logged} == set(ids)
    first = next(event for event in logged if event.id == ids[0])
    assert (first.version, first.prediction, first.deployment_step) == ("1", "up", "stage/1")
    assert first.segments == {"shop": "north"}
    assert msgspec.json.decode(first.features) == {"x": 9.5, "kind": "a"}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "inputs is empty"),
        ([tensor("x", [1.0]), tensor("y", [1.0, 2.0])], "as many in each"),
        ([{**tensor("x", [1.0]), "shape": [2]}], "use"),
        ([tensor("rows", ["[1]"], "BYTES")], "JSON objects"),
        ([tensor("rows", ["{"], "BYTES")], "JSON objects"),
        ([tensor("x", [0.0] * 10_001)], "at most 10000"),
    ],
)
def test_what_can_not_be_read_says_why(inputs, says):
    tensors = msgspec.convert(inputs, list[Tensor])
    with pytest.raises(InputError, match=says):
        read_rows(tensors)


def test_a_bad_request_is_a_400_and_an_unknown_model_a_404(http, settings, trained):
    deploy(settings, trained[1])
    until_ready(http)
    bad = http.post("/v2/models/m/infer", json={"inputs": []})
    assert (bad.status_code, "inputs is empty" in bad.text) == (400, True)
    assert http.post("/v2/models/m/infer", json={"wrong": 1}).status_code == 400
    unknown = http.post("/v2/models/other/infer", json={"inputs": [tensor("x", [1.0])]})
    assert unknown.status_code == 404


def test_a_model_that_raises_is_logged_as_failed_once_a_row(http, settings, trained, monkeypatch):
    deploy(settings, trained[1])
    until_ready(http)
    monkeypatch.setattr(SklearnModel, "answer", lambda self, rows: 1 // 0)
    body = {"inputs": [tensor("x", [1.0, 2.0])], "parameters": {"segments": {"shop": "north"}}}
    assert http.post("/v2/models/m/infer", json=body).status_code == 500
    with closing(Follower(settings, "test-reader", ("predictions",))) as follower:
        deadline, logged = time.monotonic() + WAIT_S, []
        while len(logged) < 2:
            logged += [record.event for record in follower.poll(0.1)]
            assert time.monotonic() < deadline
    assert [type(event) for event in logged] == [PredictionFailed] * 2
    assert {(e.version, e.segments["shop"]) for e in logged} == {("1", "north")}
    assert "ZeroDivisionError" in logged[0].error
