"""The gateway logs all rows of a request or none of those that the caller got wrong."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from litestar.testing import TestClient

import streamops
from streamops import codec
from streamops.client import hidden
from streamops.errors import ConfigError, InputError
from streamops.personal import Opener
from streamops.sdk.plain import plain_features
from streamops.sdk.sender import Sender
from streamops.serving.gateway import Gateway, InferRequest, make_app, personal_of
from streamops.serving.scorer import Scored
from streamops.settings import Settings


class Recorder(streamops.Client):
    """A client that counts what it would send."""

    def __init__(self, personal: streamops.Personal | None = None) -> None:
        super().__init__("127.0.0.1:1", personal=personal)
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
        self.rows = rows
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


@pytest.fixture
def marked(gateway, tmp_path):
    """The gateway of a stack whose age and customer are about persons."""
    settings = Settings(
        bootstrap="", data=tmp_path / "live", personal=("age",), personal_ids=("customer",)
    )
    gateway.client = Recorder(personal_of(settings))
    return gateway


def people(*rows, **parameters):
    tensor = {"name": "rows", "shape": [len(rows)], "datatype": "BYTES", "data": list(rows)}
    return msgspec.convert({"inputs": [tensor], "parameters": parameters}, InferRequest)


ANNA = {"age": 34_343_434, "customer": "c-17", "plan": "pro"}


def test_what_is_personal_is_asked_in_the_clear_and_logged_as_the_client_logs_it(marked, tmp_path):
    answer = marked.infer("m", people(ANNA, {**ANNA, "age": 1}, subject=["anna", "ben"]))
    assert marked.scorer.rows[0] == ANNA
    first, second = marked.client.sent
    assert answer.outputs[-1].data == [first.id, second.id]
    logged = b"".join(codec.encode(event) for event in marked.client.sent)
    for word in (b"34343434", b"c-17", b"anna", b"ben"):
        assert word not in logged, word
    same = hidden(marked.client.veil, {"id": first.id}, plain_features(ANNA), "anna")
    assert same == ({"id": first.id}, first.features)
    opened = msgspec.json.decode(Opener(tmp_path / "live.keys").open(first.id, first.features))
    assert (opened["age"], opened["plan"]) == (34_343_434, "pro")


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (None, r"features\.(age|customer) is personal; name the person"),
        (["anna", None], "is personal; name the person"),
        (["anna"], "subject has 1 persons for 2 rows; send one a row"),
        ("", "subject is empty"),
        (7, "subject is no text"),
    ],
)
def test_a_request_about_nobody_is_refused_before_anything_is_logged(marked, subject, said):
    with pytest.raises(InputError, match=said):
        marked.infer("m", people(ANNA, ANNA, subject=subject))
    assert (marked.client.sent, marked.scorer.asked) == ([], 0)


def test_marks_that_contradict_each_other_stop_the_gateway(tmp_path):
    assert personal_of(Settings(bootstrap="")) is None
    both = Settings(bootstrap="", data=tmp_path / "live", personal=("a",), personal_ids=("a",))
    with pytest.raises(ConfigError, match="ids has 'a', which features has too"):
        Recorder(personal_of(both))
