"""The client without a broker: what it refuses, and what it tells when nothing answers.

No test here needs Kafka: the client is real, and so is the closed port it talks to.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

import streamops
from streamops import codec
from streamops.config import ModelConfig, config_hash
from streamops.errors import ConfigError, InputError, ServiceError, TransportError
from streamops.events import Event, LabelArrived, PredictionMade, Tick
from streamops.quiet import Hold
from streamops.sdk.address import address
from streamops.sdk.ids import new_id
from streamops.sdk.sender import Sending, encoded
from tests.sample_events import sample_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Recorder(streamops.Client):
    """A client that keeps what it would send, after the same checks."""

    sent: list[Event]

    def send(self, event: Event) -> None:
        address(event)
        self.sent.append(codec.decode(encoded(event, "json")))


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nothing listens: bound, never listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def client(closed_port: str) -> Recorder:
    recorder = Recorder(closed_port)
    recorder.sent = []
    return recorder


def log(client: streamops.Client, **changes: Any) -> str:
    """Log a valid prediction with some arguments changed."""
    arguments = {"model": "m", "version": "1", "prediction": 1, "features": {"x": 1.5}, **changes}
    return client.log_prediction(**arguments)


def test_ids_are_uuids_of_version_7_in_order_of_time():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = [uuid.UUID(new_id()) for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {(i.version, i.variant) for i in made} == {(7, uuid.RFC_4122)}
    moments = [i.int >> 80 for i in made]
    assert moments == sorted(moments)
    assert moments[0] >= before.timestamp() * 1000 - 1


def test_a_prediction_is_logged_as_given(client: Recorder):
    made = log(client, score=0.25, segments={"country": "at"}, time=NOON, id="p1", latency_ms=3)
    assert made == "p1"
    assert client.sent == [
        PredictionMade(
            id="p1",
            time=NOON,
            model="m",
            version="1",
            prediction=1,
            score=0.25,
            features=msgspec.Raw(b'{"x":1.5}'),
            latency_ms=3.0,
            segments={"country": "at"},
        )
    ]


def test_id_and_time_are_made_where_they_are_not_given(client: Recorder):
    before = datetime.now(UTC)
    made = log(client)
    assert uuid.UUID(made).version == 7
    assert before <= client.sent[0].time <= datetime.now(UTC)
    assert client.sent[0].time.tzinfo is UTC


def test_numpys_scalars_are_plain_values(client: Recorder):
    np = pytest.importorskip("numpy")
    features = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.str_("x")}
    log(client, features=features, prediction=np.int64(1), score=np.float64(0.5))
    (event,) = client.sent
    assert isinstance(event, PredictionMade)
    assert bytes(event.features) == b'{"a":0.5,"b":3,"c":true,"d":"x"}'
    assert (event.prediction, event.score) == (1, 0.5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": {"x": float("nan")}}, r"features\.x is nan; send .*None where it is missing"),
        ({"features": {"x": float("-inf")}}, r"features\.x is -inf"),
        ({"features": {"x": [1]}}, r"features\.x is \[1\] of type list"),
        ({"features": {"x": NOON}}, r"features\.x is .* of type datetime"),
        ({"features": {"x": 2**63}}, r"features\.x is 9223372036854775808, beyond 64 bits"),
        ({"features": {"x": "\ud800"}}, "features can't be written"),
        ({"prediction": None}, "prediction is None of type NoneType"),
        ({"prediction": float("inf")}, "prediction is inf"),
        ({"score": 1.01}, r"score is 1\.01"),
        ({"score": -0.01}, r"score is -0\.01"),
        ({"score": float("nan")}, "score is nan"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": float("nan")}, "latency_ms is nan"),
        ({"time": NOON.replace(tzinfo=None)}, "time is 2026-05-01T12:00:00 without a zone"),
        ({"id": ""}, "id of PredictionMade is empty"),
        ({"model": 3}, r"\$\.model"),
        ({"model": ""}, "model of PredictionMade is empty"),
        ({"features": None}, "features is None of type NoneType; send a dict by name"),
        ({"features": [1]}, r"features is \[1\] of type list; send a dict"),
        ({"time": 5}, "time is 5; give a datetime with a zone"),
        ({"time": "2026-05-01"}, "time is '2026-05-01'; give a datetime"),
        ({"segments": {"country": 3}}, "segments holds 'country': 3; send a text"),
        ({"segments": {3: "it"}}, "segments holds 3: 'it'; send a text"),
        ({"segments": 5}, "segments is 5 of type int; send a dict"),
        ({"segments": "abc"}, "segments is 'abc' of type str; send a dict"),
        ({"segments": 0}, "segments is 0 of type int"),
    ],
)
def test_what_readers_would_refuse_is_refused_at_once(client: Recorder, changes, reason):
    with pytest.raises(InputError, match=reason):
        log(client, **changes)
    assert client.sent == []


@pytest.mark.parametrize("score", [0, 1])
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.7976931348623157e308])
def test_the_bounds_are_taken(client: Recorder, score, number):
    log(client, score=score, features={"x": number}, latency_ms=0)
    assert len(client.sent) == 1


def test_times_of_other_zones_become_utc(client: Recorder):
    client.log_label("p", 1, time=NOON.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert client.sent[0].time == NOON
    assert client.sent[0].time.tzinfo is UTC
    with pytest.raises(InputError, match="outside the years"):
        client.log_label("p", 1, time=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"encoding": "avro"}, "encoding is 'avro'"),
        ({"on_full": "drop"}, "on_full is 'drop'"),
        ({"buffer": 0}, "buffer is 0"),
        ({"buffer": 1.5}, "buffer is 1.5"),
        ({"source": 5}, "source is 5"),
        ({"on_error": "log"}, "on_error is 'log'"),
        ({"delivery_timeout_s": 0}, "delivery_timeout_s is 0"),
        ({"delivery_timeout_s": float("inf")}, "delivery_timeout_s is inf; use .* at most 2,147,4"),
        ({"delivery_timeout_s": "5"}, "delivery_timeout_s is '5'"),
        ({"personal": 5}, "personal is 5; give a streamops.Personal"),
        ({"kafka": ["a"]}, r"kafka is \['a'\]; give a dict"),
        ({"kafka": {"nope": "1"}}, 'No such configuration property: "nope"'),
        ({"namespace": "Not Allowed"}, "namespace is 'Not Allowed'"),
        ({"namespace": 5}, "namespace is 5"),
    ],
)
def test_a_setting_that_cannot_work_is_named(closed_port: str, arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        streamops.Client(closed_port, **arguments)


def test_what_is_given_for_another_thing_is_named(closed_port: str):
    with streamops.Client(closed_port) as client:
        with pytest.raises(ConfigError, match="config is 'x'; give a streamops"):
            client.apply("x")
        with pytest.raises(InputError, match="version is 'x'; give a streamops"):
            client.register("x")
        with pytest.raises(InputError, match="rows is -5; give 0 or more"):
            client.dataset("d", b"content", rows=-5)


@pytest.mark.parametrize("bootstrap", ["", None, 9092])
def test_a_broker_has_an_address(bootstrap):
    with pytest.raises(ConfigError, match=f"bootstrap is {bootstrap!r}; give Kafka's address"):
        streamops.Client(bootstrap)


def test_a_failure_names_its_model_and_a_run_its_parameters(client: Recorder):
    with pytest.raises(InputError, match="model of PredictionFailed is empty"):
        client.log_failure(model="", version="1", error="why")
    with pytest.raises(InputError, match="parameters is 5 of type int; send a dict"):
        client.run("m", parameters=5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="until is 'noon'; give a datetime"):
        client.silence("m", "f", until="noon")  # type: ignore[arg-type]
    assert client.sent == []


def test_a_row_of_a_data_frame_has_columns(client: Recorder):
    pandas = pytest.importorskip("pandas")
    log(client, features=pandas.Series({"x": 1.5, "y": 2.0}))
    assert bytes(client.sent[0].features) == b'{"x":1.5,"y":2.0}'  # type: ignore[attr-defined]


def test_a_data_set_that_is_not_what_its_name_says_is_refused(client: Recorder, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"t\.parquet is no \.parquet file"):
        client.dataset("d", tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_bytes(b"x\n" + b"1" * 200_000)
    with pytest.raises(InputError, match=r"t\.csv is no \.csv file: field larger"):
        client.dataset("d", tmp_path / "t.csv")


def test_a_full_buffer_is_told_at_once(closed_port: str):
    client = streamops.Client(closed_port, buffer=3, delivery_timeout_s=0.2)
    for i in range(3):
        client.log_label("p", i)
    with pytest.raises(TransportError, match=r"buffer=3 \(queue.buffering.max.messages\)"):
        client.log_label("p", 3)
    with pytest.raises(TransportError, match="3 not delivered"):
        client.close(5)


def test_a_buffer_full_of_bytes_names_that_bound(closed_port: str, monkeypatch):
    monkeypatch.setattr("streamops.sdk.sender.BUFFER_KBYTES", 64)
    client = streamops.Client(closed_port, delivery_timeout_s=0.2)
    for _ in range(3):
        log(client, features={"x": "a" * 20_000})
    named = r"the 3 records that wait .* fill its 0\.0625 MiB \(queue.buffering.max.kbytes\); send"
    with pytest.raises(TransportError, match=named):
        log(client, features={"x": "a" * 20_000})
    with pytest.raises(TransportError, match="3 not delivered"):
        client.close(5)


def test_a_full_buffer_blocks_where_asked_until_there_is_room(closed_port: str):
    client = streamops.Client(closed_port, buffer=1, on_full="block", delivery_timeout_s=0.1)
    client.log_label("p", 0)
    client.log_label("p", 1)  # waits until the first has expired
    with pytest.raises(TransportError, match=r"not delivered; .*labels, key 'p'"):
        client.close(5)


def test_what_was_not_delivered_is_told_and_raised_once(closed_port: str):
    told: list[ServiceError] = []
    client = streamops.Client(closed_port, delivery_timeout_s=0.05, on_error=told.append)
    client.log_label("p1", 1)
    with pytest.raises(TransportError, match=r"1 not delivered; .*labels, key 'p1'.*timed out"):
        client.flush(5)
    assert [type(error) for error in told] == [TransportError]
    client.flush(5)
    client.close()


def test_the_next_call_says_that_its_own_record_was_not_taken(closed_port: str):
    client = streamops.Client(closed_port, delivery_timeout_s=0.05)
    client.log_label("p1", 1)
    client._sender._producer.flush(5)
    with pytest.raises(TransportError, match="record of this call was not taken"):
        client.log_label("p2", 1)
    client.close()


def test_a_flush_without_an_answer_names_how_many_and_where(closed_port: str):
    client = streamops.Client(closed_port, delivery_timeout_s=0.5)
    client.log_label("p1", 1)
    with pytest.raises(TransportError, match=f"1 records are undelivered .* {closed_port}"):
        client.flush(0.01)
    with pytest.raises(TransportError):
        client.close(5)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.log_label("p1", 1)


def test_leaving_a_context_keeps_the_error_that_ended_it(closed_port: str):
    def work() -> None:
        with streamops.Client(closed_port, delivery_timeout_s=0.05) as client:
            client.log_label("p", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work()
    assert "not delivered" in caught.value.__notes__[0]


def test_what_a_model_or_a_run_raised_goes_on_without_a_broker(closed_port: str):
    client = streamops.Client(closed_port, delivery_timeout_s=0.05)

    def fails(*_: object) -> None:
        client._sender._note([TransportError("an earlier record was lost")])
        raise ZeroDivisionError

    def train() -> None:
        with client.run("m"):
            fails()

    for work in (lambda: client.predict(fails, {"x": 1}, model="m", version="1"), train):
        with pytest.raises(ZeroDivisionError) as caught:
            work()
        assert "was not sent: 1 not delivered" in caught.value.__notes__[0]
    with pytest.raises(TransportError):
        client.close(5)


def test_a_place_to_resume_from_is_one_of_three(closed_port: str):
    """Any other word used to mean the newest: what came before was never shown."""
    client = streamops.Client(closed_port)
    with pytest.raises(ConfigError, match="resume_from is 'newest'; use one of"):
        next(client.alerts(resume_from="newest"))  # type: ignore[arg-type]


def test_commands_name_their_actor(client: Recorder):
    client.promote("m", "2", reason="better")
    client.approve("m", "2", actor="ada")
    client.rollback("m", actor="ada")
    client.pause_retraining("m", paused=False, actor="ada")
    client.silence("m", "f", until=NOON, actor="ada")
    client.acknowledge("m", "f", actor="ada", time=NOON)
    promoted, *others = [msgspec.to_builtins(event) for event in client.sent]
    assert promoted["actor"]
    assert {event["actor"] for event in others} == {"ada"}
    assert [event["type"] for event in others] == [
        "PromotionApproved",
        "RollbackRequested",
        "RetrainingPaused",
        "AlertSilenceRequested",
        "AlertSilenceRequested",
    ]
    assert others[2]["paused"] is False
    assert others[4]["acknowledge"] is True
    with pytest.raises(InputError, match=r"until is .* without a zone"):
        client.silence("m", "f", until=NOON.replace(tzinfo=None))


def test_what_is_silenced_together_has_one_name(client: Recorder):
    until, since = NOON + timedelta(hours=2), NOON + timedelta(hours=1)
    client.silence("m", "m/r/all/x", until=until)
    client.silence("m", until=until, kind="data_drift", feature="x", reason="known")
    client.silence("m", until=until)
    client.snooze("m", "m/r/all/x", time=NOON)
    client.maintain("m", since=since, until=until, feature="x")
    client.end_silence("m", "m/~silence/*/*")
    assert [event.fingerprint for event in client.sent] == [
        "m/r/all/x",
        "m/~silence/data_drift/x",
        "m/~silence/*/*",
        "m/~snooze/m/r/all/x",
        f"m/~maintenance/*/x/{since.isoformat()}",
        "m/~silence/*/*",
    ]
    plain, wide, _, snoozed, maintained, ended = client.sent
    assert plain.hold is None, "one alert's silence says what it always said"
    assert (wide.hold, wide.reason) == (Hold(kind="data_drift", feature="x"), "known")
    assert snoozed.until == NOON + timedelta(days=30)
    assert (maintained.hold.since, maintained.until) == (since, until)
    assert ended.hold == Hold(ended=True)


def test_a_hold_that_can_be_nothing_is_refused_before_it_is_sent(client: Recorder):
    with pytest.raises(InputError, match="leave kind and feature out"):
        client.silence("m", "m/r/all/x", until=NOON, feature="x")
    with pytest.raises(InputError, match="not after since"):
        client.maintain("m", since=NOON, until=NOON)
    assert client.sent == []


def test_a_configuration_is_checked_and_hashed(client: Recorder):
    config = ModelConfig(model="m", pane_s=60)
    applied = client.apply(config, first_pane=NOON)
    assert (applied.config, applied.config_hash) == (config, config_hash(config))
    with pytest.raises(ConfigError, match="pane_s is 0"):
        client.apply(ModelConfig(model="m", pane_s=0))
    assert len(client.sent) == 1


def test_a_metric_from_outside_is_a_finite_number(client: Recorder):
    assert client.report_metric("m", "revenue", 12, unit="EUR").value == 12.0
    for bad in (float("nan"), "12", None):
        with pytest.raises(InputError, match="metric revenue is"):
            client.report_metric("m", "revenue", bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", codec.EVENT_TYPES, ids=lambda kind: kind.__name__)
def test_applications_write_only_what_their_topics_allow(kind: type[Event]):
    from streamops.topics import load_topics

    event = sample_of(kind)
    try:
        topic, key = address(event)
    except InputError as refused:
        topic, key = "", str(refused)
    writers = {w for spec in load_topics().values() if kind.__name__ in spec.events
               for w in spec.writers}  # fmt: skip
    if topic:
        assert kind.__name__ in load_topics()[topic].events
        assert writers & {"client", "person", "trainer"}
        assert key in {"churn", "customers", "ada", "id-1", "prediction-id-1"}
    else:
        assert "applications don't write it" in key


def test_ticks_are_not_for_applications(client: Recorder):
    with pytest.raises(InputError, match="Tick; applications don't write it"):
        client.send(Tick(id="t", time=NOON, epoch=1))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_cannot_be_written_is_an_input_error(encoding: str):
    event = LabelArrived(id="\ud800", time=NOON, prediction_id="p", label=1)
    with pytest.raises(InputError, match="can't be written"):
        encoded(event, encoding)
    endless = LabelArrived(id="l", time=NOON, prediction_id="p", label=float("inf"))
    with pytest.raises(InputError, match="label is inf"):
        encoded(endless, encoding)


def test_the_source_is_the_host_and_the_program(closed_port: str):
    sending: Sending = streamops.Client(closed_port)._sender.sending
    assert re.fullmatch(r"//[^/]+/[^/]+", sending.source)


def test_a_producer_needs_nothing_but_the_base_installation():
    program = (
        "import sys, streamops\n"
        "assert 'confluent_kafka' not in sys.modules\n"
        "streamops.Client('127.0.0.1:1').close(); streamops.AsyncClient('127.0.0.1:1')\n"
        "extras = {'numpy', 'pandas', 'pyarrow', 'sklearn', 'river', 'faust', 'duckdb'}\n"
        "assert not extras & set(sys.modules), extras & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
