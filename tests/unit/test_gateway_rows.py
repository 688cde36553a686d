"""The gateway logs all rows of a request or none of those that the caller got wrong."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from litestar.testing import TestClient

import streamops
from streamops.errors import InputError
from streamops.sdk.sender import Sender
from streamops.serving.gateway import Gateway, InferRequest, make_app
from streamops.serving.scorer import Scored


class Recorder(streamops.Client):
    """A client that counts what it would send."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.sent: list[object] = []

    def send_all(self, events):
        self.sent += events


class Counted:
    """A scorer that answers 1 to each row and counts how often it was asked."""

    asked = 0

    def serving(self, model):
        return SimpleNamespace(target=SimpleNamespace(version="1"))

    def predict_many(self, rows, model):
        self.asked += 1
        return [Scored(1, None, "1", "") for _ in rows]


@pytest.fixture
def gateway():
    made = Gateway.__new__(Gateway)
    made.disk, made.scorer, made.client = None, Counted(), Recorder()
    return made


def request(data, **parameters):
    tensor = {"name": "x", "shape": [len(data)], "datatype": "FP64", "data": data}
    return msgspec.convert({"inputs": [tensor], "parameters": parameters}, InferRequest)


def test_every_row_of_a_request_is_logged(gateway):
    gateway.infer("m", request([1, 2, None], segments={"shop": "north"}))
    assert len(gateway.client.sent) == 3


@pytest.mark.parametrize(
    ("data", "parameters", "said"),
    [
        ([1, 2, [3]], {}, r"features\.x is \[3\] of type list"),
        ([1, 2, 2**63], {}, "beyond 64 bits"),
        ([1, 2], {"segments": 5}, "segments is 5 of type int; send a dict"),
        ([1, 2], {"segments": {"shop": 5}}, "segments holds 'shop': 5; send a text"),
    ],
)
def test_a_request_with_one_bad_row_logs_none(gateway, data, parameters, said):
    with pytest.raises(InputError, match=said):
        gateway.infer("m", request(data, **parameters))
    assert (gateway.client.sent, gateway.scorer.asked) == ([], 0)


def test_a_row_too_large_to_log_is_named_and_none_is_sent(gateway, monkeypatch):
    sent: list[object] = []
    monkeypatch.setattr(Sender, "_produce", lambda self, *record: sent.append(record))
    gateway.client = streamops.Client("127.0.0.1:1")
    rows = [{"x": 1.0}, {"x": "far too long" * 400_000}, {"x": 2.0}]
    tensor = {"name": "rows", "shape": [3], "datatype": "BYTES", "data": rows}
    with pytest.raises(InputError, match=r"has 4,\d+,\d+ bytes; predictions takes 4,194,304"):
        gateway.infer("m", msgspec.convert({"inputs": [tensor]}, InferRequest))
    assert sent == []


def test_a_model_that_raises_is_told_to_who_asked(gateway, monkeypatch):
    monkeypatch.setattr(Counted, "predict_many", lambda *_: 1 // 0)
    gateway.client = Failures()
    body = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2]}]}
    with TestClient(make_app(gateway)) as http:
        answer = http.post("/v2/models/m/infer", json=body)
    assert answer.status_code == 500
    assert "model 'm' gave no answer: ZeroDivisionError: " in answer.json()["detail"]
    assert gateway.client.sent == 2


class Failures(streamops.Client):
    """A client that counts failures."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.sent = 0

    def log_failure(self, **_):
        self.sent += 1
