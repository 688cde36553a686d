"""Keys of persons, what they hide on the way to the log, and what METER counts of it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import streamops
from streamops import codec
from streamops.core.meter import Meter
from streamops.core.personal import MARK, key_of, open_all, unopened
from streamops.errors import ConfigError, InputError, TransportError
from streamops.events import (
    ActionTaken,
    Event,
    PaneSummarized,
    PredictionFailed,
    PredictionMade,
)
from streamops.keys import LOOK_AGAIN_S, KeyStore
from streamops.personal import Opener, Veil, sealed_in
from streamops.sdk.address import address
from streamops.sdk.erasure import forget
from streamops.sdk.sender import encoded
from tests.builders import MeterBench, activated, config, made, of_type, version

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.keys"


@pytest.fixture
def keys(path: Path) -> Iterator[KeyStore]:
    store = KeyStore(path)
    yield store
    store.close()


def veil(path: Path, **changes: Any) -> Veil:
    return Veil(streamops.Personal(keys=path, **{"features": ("age", "income"), **changes}))


def raw(**values: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(values))


def test_a_person_has_one_key_in_every_process(path, keys):
    anna = keys.of("anna")
    again = KeyStore(path)
    assert again.of("anna") == keys.of("anna")._replace(cipher=again.of("anna").cipher)
    assert again.named(anna.name) is not None
    assert keys.of("ben").name != anna.name
    assert again.of("anna").pseudonym("c-1") == anna.pseudonym("c-1") != "c-1"
    assert keys.of("ben").pseudonym("c-1") != anna.pseudonym("c-1")


def test_the_store_names_nobody(path, keys):
    keys.of("anna@example.org")
    assert b"anna" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_threads_that_ask_at_once_get_one_key(keys):
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(keys.of("anna").name)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_secret_belongs_to_its_record_and_to_its_key(keys):
    anna = keys.of("anna")
    secret = anna.encrypt("p1", b"34")
    assert anna.encrypt("p1", b"34") == secret
    assert anna.encrypt("p2", b"34") != secret
    assert anna.decrypt("p1", secret) == b"34"
    assert anna.decrypt("p2", secret) is None
    assert keys.of("ben").decrypt("p1", secret) is None
    assert anna.decrypt("p1", b"short") is None


def test_what_is_marked_is_hidden_and_the_rest_is_as_it_was(path):
    hidden = bytes(veil(path).features(raw(age=34, income=None, plan="pro"), "p1", "anna"))
    values = msgspec.json.decode(hidden)
    assert values.keys() == {"plan", "~personal"}
    opener = Opener(path)
    opened = msgspec.json.decode(opener.open("p1", hidden))
    assert opened == {"age": 34, "income": None, "plan": "pro"}
    assert opener.names("p1", hidden) == ["age", "income"]
    assert opener.names("p2", hidden) is None  # another record's
    untouched = raw(plan="pro")
    assert veil(path).features(untouched, "p1", None) is untouched


def test_ids_are_replaced_by_pseudonyms_that_join(path):
    of = veil(path, ids=("customer",), features=("age",), prediction_ids=True)
    once = msgspec.json.decode(of.features(raw(customer=17, plan="a"), "p1", "anna"))
    again = msgspec.json.decode(of.features(raw(customer=17, plan="b"), "p2", "anna"))
    assert once["customer"] == again["customer"]
    assert once["customer"] not in (17, "17")
    assert of.id("order-9", "anna") == of.id("order-9", "anna") != of.id("order-9", "ben")


def test_nothing_personal_leaves_without_a_person(path):
    with pytest.raises(InputError, match=r"features\.age is personal; name the person"):
        veil(path).features(raw(age=34), "p1", None)
    with pytest.raises(InputError, match="id is personal"):
        veil(path, prediction_ids=True).id("p1", None)
    with pytest.raises(InputError, match="subject is empty"):
        veil(path).features(raw(age=34), "p1", "")
    with pytest.raises(InputError, match="the name of encrypted values"):
        veil(path).features(msgspec.Raw(b'{"~personal": "x"}'), "p1", "anna")
    with pytest.raises(ConfigError, match="ids has 'age', which features has too"):
        veil(path, ids=("age",))


def test_a_file_that_is_no_store_is_named(tmp_path):
    broken = tmp_path / "broken.keys"
    broken.write_bytes(b"no database, by any means" * 100)
    with pytest.raises(TransportError, match=r"broken\.keys can't be used as a key store"):
        KeyStore(broken)


class Recorder(streamops.Client):
    """A client that keeps what it would send, after the same checks; its broker takes all."""

    sent: list[Event]

    def send(self, event: Event) -> None:
        address(event)
        self.sent.append(codec.decode(encoded(event, "json")))

    def flush(self, timeout_s: float = 0) -> None:
        """All is there."""


def recorder(personal: streamops.Personal | None) -> Recorder:
    client = Recorder("127.0.0.1:1", personal=personal)
    client.sent = []
    return client


def test_the_client_hides_and_labels_find_their_prediction(path):
    client = recorder(
        streamops.Personal(keys=path, features=("age",), ids=("customer",), prediction_ids=True)
    )
    row = {"age": 34_343_434, "customer": "c-17", "plan": "pro"}
    common = {"model": "m", "version": "1", "subject": "anna"}
    made = client.log_prediction(prediction=1, features=row, id="order-9", **common)
    client.log_label("order-9", True, subject="anna")
    client.log_label(made, True)
    assert client.predict(lambda features: features["age"] > 30, row, id="order-8", **common)
    client.log_failure(error="x", id="order-7", **common)
    first, label, same, second, failure = client.sent
    assert (first.id, label.prediction_id, same.prediction_id) == (made, made, made)
    assert isinstance(failure, PredictionFailed)
    text = b"".join(codec.encode(event) for event in client.sent)
    for word in (b"anna", b"order-", b"c-17", b"34343434"):
        assert word not in text, word
    assert isinstance(second, PredictionMade)
    assert (
        msgspec.json.decode(Opener(path).open(second.id, bytes(second.features)))["age"]
        == 34_343_434
    )
    with pytest.raises(InputError, match="personal"):
        client.log_prediction(model="m", version="1", prediction=1, features=row)
    packed = codec.pack(first)
    assert bytes(codec.decode(packed).features) == bytes(first.features)


def test_forgetting_writes_the_fact_and_then_destroys_the_key(path, keys):
    client = recorder(None)
    hidden = bytes(veil(path).features(raw(age=34), "p1", "anna"))
    name = keys.of("anna").name
    event = forget(client, keys, "anna", reason="Art. 17", actor="ada", time=NOON)
    assert event == ActionTaken(
        id=f"forget/{name}",
        time=NOON,
        actor="ada",
        action="forget",
        target=name,
        correlation_id="1",
        detail="Art. 17",
    )
    assert client.sent == [event]
    assert address(event) == ("audit", "ada")
    assert keys.named(name) is None
    assert key_of(sealed_in(hidden)) == name
    assert msgspec.json.decode(Opener(path).open("p1", hidden)) == {}
    with pytest.raises(InputError, match="has no key: nothing on the log"):
        forget(client, keys, "anna")
    assert keys.of("anna").name != name  # who comes back is somebody new


def test_an_interrupted_erasure_is_the_same_request_again(path, keys):
    name = keys.of("anna").name
    client = recorder(None)

    def refuse(event: Event) -> None:
        raise TransportError("no broker")

    client.send = refuse  # type: ignore[method-assign]
    with pytest.raises(TransportError):
        forget(client, keys, "anna")
    assert keys.named(name) is not None, "the log doesn't say so, so the key is there"
    keys.of("ben")
    again = recorder(None)
    assert forget(again, keys, "anna").correlation_id == "1"
    assert forget(again, keys, "ben").correlation_id == "2"


def test_a_destroyed_key_is_gone_from_the_file_and_from_other_processes(path, keys, monkeypatch):
    hidden = bytes(veil(path).features(raw(age=34), "p1", "anna"))
    opener = Opener(path)
    assert opener.names("p1", hidden) == ["age"]
    secret = sqlite3.connect(path).execute("SELECT key FROM keys").fetchone()[0]
    assert secret in path.read_bytes()
    erasure = keys.begin_erasure("anna")
    assert erasure is not None
    keys.destroy(erasure)
    assert secret not in path.read_bytes()
    monkeypatch.setattr("streamops.keys.LOOK_AGAIN_S", 0.0)
    assert LOOK_AGAIN_S <= 1.0
    assert opener.names("p1", hidden) is None


def test_what_cannot_be_opened_is_missing_and_nothing_else_changes(path, tmp_path):
    plain, hidden = b'{"plan":"pro"}', bytes(veil(path).features(raw(age=34, plan="pro"), "p", "a"))
    opener = Opener(path).open
    texts = [plain, hidden]
    assert open_all(unopened, ["o", "p"], texts) is texts
    assert open_all(opener, ["o"], [plain]) == [plain]
    found = [msgspec.json.decode(t) for t in open_all(opener, ["o", "p"], texts)]
    assert found == [{"plan": "pro"}, {"age": 34, "plan": "pro"}]
    nowhere = Opener(tmp_path / "none.keys").open
    assert msgspec.json.decode(nowhere("p", hidden)) == {"plan": "pro"}
    for odd in (b"[1]", b'{"x":', b'{"~personal":7}', b'{"~personal":"1.a.!"}', MARK):
        assert b"34" not in opener("p", odd)
    assert key_of("2.a.b") == key_of(7) == key_of("x") == ""


def test_meter_at_once_counts_what_it_counts_one_by_one(path):
    of = veil(path, features=("x",))
    hidden = [
        replace(made(n / 10, id=f"p{n}"), features=of.features(raw(x=n / 40), f"p{n}", "anna"))
        for n in range(40)
    ]
    found = []
    for at_once in (True, False):
        bench = MeterBench(activated(config(), 1), activated(version(), 2))
        bench.meter = Meter(at_once=at_once, open_=Opener(path).open)
        bench.state = bench.meter.initial()
        bench.epoch([activated(config(), 1), activated(version(), 2)], seconds=0)
        events = bench.epoch(hidden, seconds=20)
        found.append([codec.conclusion(e) for e in events])
        rows = [
            f.counts for e in of_type(events, PaneSummarized) for f in e.features if f.name == "x"
        ]
        assert sum(map(sum, rows)) == 40
        assert not any(counts[-1] for counts in rows), "none is missing"
    assert found[0] == found[1]
