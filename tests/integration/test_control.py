"""The control plane as a process: killed, paused, crashed, badly started; and what Faust reads."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from streamops.core.monitor import Monitor
from streamops.errors import EXIT_TRANSPORT, ConfigError, TransportError
from streamops.events import EpochConcluded, Event, RecordRefused
from streamops.hosts import control
from streamops.hosts.checkpoint_topic import read_checkpoints
from streamops.hosts.lanes import PROCESSORS
from streamops.kafka.admin import connect, create_topics, settle
from streamops.kafka.follow import Follower
from streamops.settings import Settings
from tests.hosting import (
    SERVICES,
    events_on,
    fold,
    halves,
    new_settings,
    running,
    start_child,
    until_concluded,
    write,
)
from tests.recorded import CONCLUDED, conclusions, one_more_epoch, recording

DATA_PLANE = (fold("meter"), fold("detect"))


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    return new_settings(bootstrap, namespace, tmp_path, 2)


@contextmanager
def child(settings: Settings) -> Iterator[Any]:
    process = start_child(settings)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def check(settings: Settings) -> None:
    for topic in CONCLUDED:
        logged = conclusions(events_on(settings, topic))
        assert logged == recording(settings.partitions).concluded[topic], topic


def test_kill_9_in_the_middle_changes_nothing(settings):
    recorded = recording(2)
    first, second = halves(recorded)
    with running(settings, DATA_PLANE):
        with child(settings) as process:
            write(settings, first)
            until_concluded(settings, 4, partitions=1)
            os.kill(process.pid, signal.SIGKILL)
        write(settings, second)
        with child(settings):
            until_concluded(settings, recorded.last_epoch)
    check(settings)


def test_a_worker_paused_past_its_session_changes_nothing(settings):
    """The other worker takes over and finishes; the first wakes with folds of long ago."""
    recorded = recording(2)
    first, second = halves(recorded)
    other = msgspec.structs.replace(settings, data=settings.data / "other")
    with running(settings, DATA_PLANE), child(settings) as process:
        write(settings, first)
        until_concluded(settings, 4, partitions=1)
        os.kill(process.pid, signal.SIGSTOP)
        stop = threading.Event()
        taking_over = threading.Thread(
            target=control.run_control, args=(other, stop), kwargs={"instance": "1"}
        )
        taking_over.start()
        try:
            write(settings, second)
            until_concluded(settings, recorded.last_epoch)
            os.kill(process.pid, signal.SIGCONT)
            _until_it_works_again(settings)
        finally:
            stop.set()
            taking_over.join()
    check_but_for_one_more_epoch(settings)


def _until_it_works_again(settings: Settings) -> None:
    """One more epoch, concluded while both are there."""
    recorded = recording(2)
    write(settings, one_more_epoch(settings.partitions))
    until_concluded(settings, recorded.last_epoch + 1)


def check_but_for_one_more_epoch(settings: Settings) -> None:
    recorded = recording(settings.partitions)
    for topic in ("metrics", "alerts", "retraining", "deployments", "progress"):
        logged = conclusions(events_on(settings, topic))
        wanted = recorded.concluded[topic]
        assert {key: logged[key] for key in wanted} == wanted, topic
        extra = logged.keys() - wanted.keys()
        assert all(str(recorded.last_epoch + 1) in key for key in extra), topic


@pytest.mark.parametrize("host", ["faust", "kafka"])
def test_a_cold_start_alerts_nobody_again(settings, host):
    """All checkpoints are lost, `progress` is not (EPOCHS 15)."""
    recorded = recording(2)
    settings = msgspec.structs.replace(settings, control=host)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    before = written(settings, "alerts")
    forget_checkpoints(settings)
    with running(settings, SERVICES.values()):
        write(settings, one_more_epoch(settings.partitions))
        until_concluded(settings, recorded.last_epoch + 1)
    assert written(settings, "alerts") == before
    assert set(before.values()) == {1}
    check_but_for_one_more_epoch(settings)


def written(settings: Settings, topic: str) -> Counter[str]:
    """How often each event was written."""
    return Counter(event.id for event in events_on(settings, topic) if isinstance(event, Event))


def forget_checkpoints(settings: Settings) -> None:
    shutil.rmtree(settings.data / "state")
    conf = {"bootstrap.servers": settings.bootstrap}
    admin = connect(conf)
    settle(admin.delete_topics([settings.topic("checkpoints")], operation_timeout=30))
    create_topics(conf, settings.namespace, settings.partitions)


def test_a_missing_topic_ends_it_at_once(bootstrap, namespace, tmp_path):
    absent = Settings(bootstrap=bootstrap, namespace=namespace, data=tmp_path)
    with pytest.raises(TransportError, match=r"doesn't exist; `streamops topics apply` makes it"):
        control.run_control(absent, threading.Event())
    with child(absent) as process:
        process.join(60)
        assert process.exitcode == EXIT_TRANSPORT


def test_another_partition_count_is_the_operators_fault(settings):
    wrong = msgspec.structs.replace(settings, partitions=3)
    with pytest.raises(ConfigError, match="has 2 partitions, the settings say 3"):
        control.run_control(wrong, threading.Event())


def test_a_client_setting_of_librdkafka_alone_is_named(settings):
    wrong = msgspec.structs.replace(settings, kafka={"queued.min.messages": "1"})
    with pytest.raises(ConfigError, match="is not known to the Faust host"):
        control.run_control(wrong, threading.Event())


def test_what_a_user_aborted_is_never_read(settings):
    """A transaction's marker leaves a gap, which is read again once and then believed."""
    recorded = recording(2)
    refusal = b'{"type":"Unknown"}'
    lifecycle = settings.topic("lifecycle")
    users = Producer({"bootstrap.servers": settings.bootstrap, "transactional.id": "u"})
    users.init_transactions(30)
    users.begin_transaction()
    users.produce(lifecycle, refusal, b"aborted", 0)
    users.abort_transaction(30)
    users.begin_transaction()
    users.produce(lifecycle, refusal, b"committed", 0)
    users.commit_transaction(30)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    refused = [e for e in events_on(settings, "dlq") if isinstance(e, RecordRefused)]
    assert {e.key for e in refused if e.raw == refusal} == {b"committed"}


def test_our_own_fault_is_dead_lettered_and_ends_the_process(settings, monkeypatch):
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(Monitor, "step", broken)
    recorded = recording(2)
    with running(settings, DATA_PLANE):
        write(settings, recorded.rows)
        with pytest.raises(ZeroDivisionError, match="a fault of ours"):
            control.run_control(settings, threading.Event())
    ours = [e for e in events_on(settings, "dlq") if getattr(e, "fault", "") == "us"]
    assert {e.topic for e in ours} == {"summaries"}
    assert "ZeroDivisionError" in ours[0].reason
    assert read_checkpoints(settings, range(2), ["monitor"]) == {}


def test_a_crash_of_fausts_own_ends_it(settings):
    """Faust only logs it: whoever embeds it must look (measured)."""

    class Crashing(threading.Event):
        host: control.ControlHost

        def is_set(self) -> bool:
            self.host.app._crash(RuntimeError("a timer raised"))
            return False

    stop = Crashing()
    with pytest.raises(TransportError, match=r"Faust has crashed.*a timer raised"):
        _run_with(settings, stop)


def _run_with(settings: Settings, stop: Any) -> None:
    async def run() -> None:
        stop.host = control.ControlHost(settings, "0")
        await stop.host.run(stop)

    asyncio.run(run())


def test_it_resumes_after_its_last_checkpoint(settings):
    recorded = recording(2)
    with running(settings, SERVICES.values()):
        write(settings, recorded.rows)
        until_concluded(settings, recorded.last_epoch)
    found = read_checkpoints(settings, range(2), PROCESSORS)
    assert {key: c.epoch for key, c in found.items()} == {
        (name, partition): recorded.last_epoch for name in PROCESSORS for partition in range(2)
    }
    with closing(Follower(settings, "reading", ["progress"])) as follower:
        marks = sum(isinstance(r.event, EpochConcluded) for r in follower.to_end())
    with running(settings, SERVICES.values()):
        write(settings, one_more_epoch(settings.partitions))
        until_concluded(settings, recorded.last_epoch + 1)
    progress = events_on(settings, "progress")
    assert sum(isinstance(event, EpochConcluded) for event in progress) == marks + 2
