"""The client against a real broker: what it sends, what it tells, where it resumes."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import NewTopic

import streamops
from streamops import codec
from streamops.errors import InputError, ServiceError, TransportError
from streamops.events import (
    AlertRaised,
    AlertResolved,
    AlertSilenced,
    LabelArrived,
    PredictionFailed,
    PredictionMade,
    RunCompleted,
    RunStarted,
)
from streamops.kafka.admin import connect, create_topics, settle
from streamops.kafka.clients import make_producer
from streamops.sdk import sender
from streamops.sdk.alerts import Alert
from streamops.settings import Settings
from tests.sample_events import sample_of

PARTITIONS = 4


@pytest.fixture
def topics(bootstrap: str, namespace: str, broker: object) -> str:
    """The namespace with its topics."""
    create_topics({"bootstrap.servers": bootstrap}, namespace, PARTITIONS)
    return namespace


@pytest.fixture
def client(bootstrap: str, topics: str) -> Iterator[streamops.Client]:
    with streamops.Client(bootstrap, namespace=topics, source="//test") as opened:
        yield opened


def read_all(bootstrap: str, topic: str) -> list[Message]:
    """Every record of a topic, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reads", "enable.partition.eof": True}
    )
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        messages, open_partitions = [], PARTITIONS
        while open_partitions:
            message = consumer.poll(20)
            assert message is not None, f"no end of {topic}"
            if message.error() is None:
                messages.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF
                open_partitions -= 1
        return messages
    finally:
        consumer.close()


def alert(fingerprint: str, revision: int, kind: type[Alert] = AlertRaised) -> Alert:
    """An alert record of a fingerprint."""
    changes = {"id": f"{fingerprint}/{revision}", "fingerprint": fingerprint, "revision": revision}
    changed = msgspec.structs.replace(sample_of(kind), **changes)
    assert isinstance(changed, kind)
    return changed


def write_alerts(bootstrap: str, namespace: str, *alerts: Alert | bytes) -> None:
    """Write alerts as the controller does; bytes go as they are."""
    producer = make_producer(Settings(bootstrap=bootstrap, namespace=namespace), "controller")
    for item in alerts:
        value = item if isinstance(item, bytes) else codec.encode(item)
        key = "junk" if isinstance(item, bytes) else item.fingerprint
        producer.produce(f"{namespace}.alerts", value, key)
    assert producer.flush(20) == 0


def ids(alerts: Iterator[Alert]) -> list[str]:
    return [item.id for item in alerts]


def test_flush_waits_for_nobody_to_go_with_it(bootstrap, topics, monkeypatch):
    monkeypatch.setattr(sender, "LINGER_MS", 120_000)
    with streamops.Client(bootstrap, namespace=topics, source="//test") as client:
        name = client.log_prediction(model="m", version="1", prediction=1, features={"x": 1})
        client.flush(timeout_s=60)
        (record,) = read_all(bootstrap, f"{topics}.predictions")
    assert record.key() == name.encode()


def test_a_prediction_and_its_label_lie_in_one_partition_with_cloudevents_headers(
    client: streamops.Client, bootstrap: str, topics: str
):
    made = [
        client.log_prediction(model="m", version="1", prediction=i, features={"x": i}, score=0.5)
        for i in range(20)
    ]
    for prediction_id in made:
        client.log_label(prediction_id, True)
    client.flush()
    predictions = read_all(bootstrap, f"{topics}.predictions")
    labels = read_all(bootstrap, f"{topics}.labels")
    places = {m.key().decode(): m.partition() for m in predictions}
    assert sorted(places) == sorted(made)
    assert len(set(places.values())) > 1
    assert {m.key().decode(): m.partition() for m in labels} == places
    event = codec.decode(predictions[0].value())
    assert isinstance(event, PredictionMade)
    assert dict(predictions[0].headers()) == {
        "ce_specversion": b"1.0",
        "ce_id": event.id.encode(),
        "ce_source": b"//test",
        "ce_type": b"PredictionMade",
        "ce_time": event.time.isoformat().encode(),
        "content-type": b"application/json",
    }


def test_messagepack_is_read_as_the_same_events(bootstrap: str, topics: str):
    with streamops.Client(bootstrap, namespace=topics, encoding="msgpack") as packing:
        made = packing.log_prediction(
            model="m", version="1", prediction=1.5, features={"b": 1, "a": None}
        )
        packing.log_label(made, 2)
    (prediction,) = read_all(bootstrap, f"{topics}.predictions")
    (label,) = read_all(bootstrap, f"{topics}.labels")
    assert codec.is_msgpack(prediction.value())
    assert dict(prediction.headers())["content-type"] == b"application/msgpack"
    event = codec.decode(prediction.value())
    assert isinstance(event, PredictionMade)
    assert bytes(event.features) == b'{"a":null,"b":1}'
    assert codec.as_type(label.value(), LabelArrived).prediction_id == made


def test_predict_logs_answers_and_failures(client: streamops.Client, bootstrap: str, topics: str):
    def model(features: dict[str, float]) -> tuple[bool, float]:
        return features["x"] / features["y"] > 1, 0.75

    assert client.predict(model, {"x": 3, "y": 2}, model="m", version="1", id="p1") is True
    with pytest.raises(ZeroDivisionError):
        client.predict(model, {"x": 3, "y": 0}, model="m", version="1", id="p2")
    client.flush()
    events = {
        m.key().decode(): codec.decode(m.value())
        for m in read_all(bootstrap, f"{topics}.predictions")
    }
    made, failed = events["p1"], events["p2"]
    assert isinstance(made, PredictionMade)
    assert isinstance(failed, PredictionFailed)
    assert (made.prediction, made.score) == (True, 0.75)
    assert made.latency_ms is not None
    assert failed.error == "ZeroDivisionError: division by zero"


def commit_in(folder: Path) -> str:
    """The commit of a new repository with one file."""
    (folder / "train.py").write_text("1")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *who, *command], cwd=folder, check=True)
    asked = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_run_records_itself_on_the_models_partition(
    client: streamops.Client,
    bootstrap: str,
    topics: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    committed = commit_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    with client.run("m", parameters={"depth": 3}, dataset="customers@1") as run:
        run.log_parameter("rounds", 60)
        run.log_metric("accuracy", 0.9)
        artifact = run.log_artifact(b"the model")
    client.promote("m", "2", reason="better", actor="ada")
    client.flush()
    records = read_all(bootstrap, f"{topics}.lifecycle")
    assert {m.key() for m in records} == {b"m"}
    started, completed, _ = (codec.decode(m.value()) for m in records)
    assert isinstance(started, RunStarted)
    assert isinstance(completed, RunCompleted)
    assert started.parameters == {"depth": 3}
    assert started.code_commit == committed
    assert started.environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "msgspec" in started.environment
    assert (completed.run_id, completed.artifact) == (started.run_id, artifact)
    assert (completed.parameters, completed.metrics) == ({"rounds": 60}, {"accuracy": 0.9})


def test_alerts_resume_behind_what_was_consumed(
    client: streamops.Client, bootstrap: str, topics: str
):
    written = [alert(f"f{i}", 1) for i in range(6)]
    write_alerts(bootstrap, topics, *written)
    seen = []
    for item in client.alerts(follow=False):
        seen.append(item.id)
        if len(seen) == 3:
            break
    rest = ids(client.alerts(follow=False))
    # Alerts of several partitions come in any order, so it need not be the first.
    assert seen[2] in rest, "the loop was left at this one, so it comes again"
    assert sorted({*seen, *rest}) == sorted(a.id for a in written)
    assert len(rest) == 4
    assert ids(client.alerts(follow=False)) == []
    assert len(ids(client.alerts(follow=False, group="another"))) == 6
    assert len(ids(client.alerts(follow=False, resume_from="earliest"))) == 6
    assert ids(client.alerts(follow=False, group="third", resume_from="latest")) == []


def test_repeats_and_older_revisions_are_not_shown(
    client: streamops.Client, bootstrap: str, topics: str
):
    raised, silenced = alert("f", 1), alert("f", 2, AlertSilenced)
    write_alerts(bootstrap, topics, raised, silenced, b"not json", raised, alert("g", 1))
    assert sorted(ids(client.alerts(follow=False))) == ["f/1", "f/2", "g/1"]
    # A restarted controller sends everything again, and then something new.
    write_alerts(bootstrap, topics, raised, silenced, alert("f", 3, AlertResolved), alert("g", 1))
    assert ids(client.alerts(follow=False)) == ["f/3"]


def test_following_shows_what_comes_and_ends_after_a_silence(
    client: streamops.Client, bootstrap: str, topics: str
):
    write_alerts(bootstrap, topics, alert("f", 1))
    following = client.alerts(timeout=60)
    assert next(following).id == "f/1"
    write_alerts(bootstrap, topics, alert("f", 2))
    assert next(following).id == "f/2"
    following.close()
    assert ids(client.alerts(timeout=0.01, group="impatient", resume_from="latest")) == []


def test_a_record_over_the_topics_limit_is_refused_and_just_below_is_taken(
    client: streamops.Client, bootstrap: str, topics: str
):
    limit = 4_194_304
    with pytest.raises(InputError, match=r"4,194,\d{3} bytes; predictions takes 4,194,304"):
        client.log_prediction(
            model="m", version="1", prediction=1, features={"x": "a" * (limit - 430)}
        )
    client.log_prediction(model="m", version="1", prediction=1, features={"x": "a" * (limit - 800)})
    client.flush()
    assert len(read_all(bootstrap, f"{topics}.predictions")) == 1


@pytest.fixture
def low_limit(bootstrap: str, namespace: str) -> str:
    """A namespace whose predictions take 2,000 bytes, less than is declared."""
    admin = connect({"bootstrap.servers": bootstrap})
    low = {"max.message.bytes": "2000"}
    settle(admin.create_topics([NewTopic(f"{namespace}.predictions", 1, 1, config=low)]))
    return namespace


NOISE = "".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(100))
LIMIT_TOLD = r"value has 6,\d{3} bytes, more than the broker's limit of 2,000 \(max.message.bytes\)"


def test_a_broker_with_a_lower_limit_is_named_with_the_size(bootstrap: str, low_limit: str):
    told: list[ServiceError] = []
    with (
        pytest.raises(InputError, match=LIMIT_TOLD),
        streamops.Client(bootstrap, namespace=low_limit, on_error=told.append) as client,
    ):
        client.log_prediction(model="m", version="1", prediction=1, features={"x": NOISE})
    assert [type(error) for error in told] == [InputError]


def test_a_lower_limit_is_told_by_a_later_call_that_does_not_wait(bootstrap: str, low_limit: str):
    client = streamops.Client(bootstrap, namespace=low_limit)
    client.log_prediction(model="m", version="1", prediction=1, features={"x": NOISE})

    def go_on() -> None:
        for _ in range(1000):
            client.log_prediction(model="m", version="1", prediction=1, features={"x": 1})
            threading.Event().wait(0.02)

    with pytest.raises(InputError, match=LIMIT_TOLD):
        go_on()
    client.close()


def test_a_missing_topic_is_an_error_and_told_what_to_do(bootstrap: str, namespace: str):
    errors: list[Exception] = []
    with (
        pytest.raises(TransportError, match="not delivered"),
        streamops.Client(
            bootstrap, namespace=namespace, delivery_timeout_s=0.5, on_error=errors.append
        ) as lost,
    ):
        lost.log_label("p", 1)
    assert len(errors) == 1
    with (
        streamops.Client(bootstrap, namespace=namespace) as reading,
        pytest.raises(TransportError, match="topics apply"),
    ):
        next(reading.alerts())


def test_a_process_that_ends_without_close_delivers(bootstrap: str, topics: str):
    program = (
        "import streamops\n"
        f"client = streamops.Client({bootstrap!r}, namespace={topics!r})\n"
        "for i in range(100): client.log_label(f'p{i}', i)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert len(read_all(bootstrap, f"{topics}.labels")) == 100


def test_the_asyncio_client_does_the_same(bootstrap: str, topics: str):
    async def model(features: dict[str, float]) -> float:
        await asyncio.sleep(0)
        return features["x"] * 2

    async def use() -> list[str]:
        async with streamops.AsyncClient(bootstrap, namespace=topics) as client:
            assert await client.predict(model, {"x": 2}, model="m", version="1", id="a") == 4
            for i in range(10):
                await client.log_label("a", i, time=datetime(2026, 5, 1, tzinfo=UTC))
            async with client.run("m") as run:
                run.log_metric("mae", 1.5)
            await client.flush()
            seen = [item.id async for item in client.alerts(follow=False)]
            assert [item.id async for item in client.alerts(follow=False)] == []
            return seen

    write_alerts(bootstrap, topics, alert("f", 1), alert("f", 2))
    assert asyncio.run(use()) == ["f/1", "f/2"]
    assert len(read_all(bootstrap, f"{topics}.predictions")) == 1
    assert len(read_all(bootstrap, f"{topics}.labels")) == 10
    assert len(read_all(bootstrap, f"{topics}.lifecycle")) == 2


def test_cancelling_async_alerts_leaves_nothing_running(bootstrap: str, topics: str):
    async def use() -> str:
        async with streamops.AsyncClient(bootstrap, namespace=topics) as client:
            arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            async def follow() -> None:
                async for item in client.alerts():
                    arrived.set_result(item.id)

            task = asyncio.create_task(follow())
            first = await arrived
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return first

    write_alerts(bootstrap, topics, alert("f", 1))
    assert asyncio.run(use()) == "f/1"


def run_example(root: Path, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(root / "examples" / name), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plain_consumer_shows_each_alert_once(root: Path, bootstrap: str, topics: str):
    raised = alert("f", 1)
    write_alerts(bootstrap, topics, raised, raised, alert("f", 2, AlertResolved))
    where = ("--bootstrap", bootstrap, "--namespace", topics, "--until-end")
    lines = run_example(root, "consume_alerts.py", *where).splitlines()
    assert [line.split()[1] for line in lines] == ["raised", "resolved"]
    assert "moderate data_drift of churn 2 income psi is 0.75, limit 0.75" in lines[0]
    assert run_example(root, "consume_alerts.py", *where) == ""


def test_a_plain_producer_is_understood(
    root: Path, client: streamops.Client, bootstrap: str, topics: str
):
    where = ("--bootstrap", bootstrap, "--namespace", topics)
    made = run_example(root, "cloudevents_producer.py", *where).strip()
    (prediction,) = read_all(bootstrap, f"{topics}.predictions")
    (label,) = read_all(bootstrap, f"{topics}.labels")
    assert codec.as_type(prediction.value(), PredictionMade).id == made
    assert codec.as_type(label.value(), LabelArrived).prediction_id == made
    client.log_label(made, True)
    client.flush()
    ours = read_all(bootstrap, f"{topics}.labels")
    assert {m.partition() for m in ours} == {prediction.partition()}
    headers = [{name for name, _ in m.headers()} for m in ours]
    assert headers[0] == headers[1]


def test_the_readmes_five_lines_run(
    root: Path, bootstrap: str, topics: str, capsys: pytest.CaptureFixture[str]
):
    code = (root / "docs" / "snippets" / "sdk.py").read_text()
    write_alerts(bootstrap, topics, alert("f", 1))
    here = f'"{bootstrap}", namespace="{topics}"'
    assert '"localhost:9092"' in code
    exec(compile(code.replace('"localhost:9092"', here), "sdk.py", "exec"), {})
    assert "fingerprint='f'" in capsys.readouterr().out
    assert len(read_all(bootstrap, f"{topics}.labels")) == 1
