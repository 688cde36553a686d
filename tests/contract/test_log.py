"""What any log must do: one suite for a list, the archive, Kafka, and archive and Kafka joined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamops.errors import TransportError
from streamops.kafka.admin import create_topics
from streamops.settings import Settings
from streamops.views.archive import ArchiveLog, cover_of, write_raw
from streamops.views.log import Joined, KafkaLog, Log, MemoryLog, RawRecord

#   offset   0 1 2 | 3      | 4 5 | 6
#            a b c | marker | d e | marker       two transactions on labels-1
OFFSETS = (0, 1, 2, 4, 5)
TRANSACTIONS = ((0, 1, 2), (4, 5))


def record(offset: int) -> RawRecord:
    headers = (("ce_id", b"\x00\xff"), ("ce_id", b"again")) if offset == 2 else ()
    value = b"" if offset == 4 else b'{"n":%d}\xff' % offset
    return RawRecord("labels", 1, offset, 1000 + offset, b"k%d" % offset, value, headers)


RECORDS = [record(offset) for offset in OFFSETS]


class LogContract(ABC):
    @abstractmethod
    @pytest.fixture
    def log(self) -> Log: ...

    def test_it_names_what_it_holds(self, log):
        assert "labels" in log.topics()
        assert 1 in log.partitions("labels")
        assert log.held("labels", 1).first == 0
        # A marker at the end may or may not be held: it is no record.
        assert log.held("labels", 1).next in (6, 7)

    def test_it_yields_all_in_order_with_every_byte(self, log):
        read = list(log.read("labels", 1))
        assert [r._replace(append_ms=0) for r in read] == [r._replace(append_ms=0) for r in RECORDS]
        assert all(type(r.append_ms) is int and r.append_ms > 0 for r in read)

    def test_it_yields_any_range(self, log):
        for first, end in product(range(7), repeat=2):
            read = [r.offset for r in log.read("labels", 1, first, end)]
            assert read == [offset for offset in OFFSETS if first <= offset < end], (first, end)

    def test_a_range_beyond_the_end_is_missing(self, log):
        with pytest.raises(TransportError, match=r"labels-1: offsets \d to 99 are missing"):
            list(log.read("labels", 1, 4, 100))

    def test_a_partition_without_records_is_empty(self, log):
        assert list(log.read("labels", 0)) == []
        with pytest.raises(TransportError, match="labels-0: offsets 0 to 0 are missing"):
            list(log.read("labels", 0, 0, 1))


class ColumnContract(LogContract):
    """Logs that are read by columns, too."""

    @pytest.mark.parametrize("rows", [1, 2, 100])
    def test_columns_are_what_reading_gives(self, log, rows):
        parts = list(log.columns("labels", 1, rows))
        assert max(len(offsets) for offsets, *_ in parts) <= rows
        read = [row for columns in parts for row in zip(*columns, strict=True)]
        assert read == [raw[2:6] for raw in log.read("labels", 1)]
        assert list(log.columns("labels", 0, rows)) == []


class TestMemoryLog(ColumnContract):
    @pytest.fixture
    def log(self) -> Log:
        return MemoryLog(RECORDS[::-1])


class TestArchiveLog(ColumnContract):
    @pytest.fixture(params=[1, 2, 4, 6], ids="{} offsets a file".format)
    def log(self, request: pytest.FixtureRequest, tmp_path: Path) -> Log:
        archive(tmp_path, 6, request.param)
        return ArchiveLog(tmp_path)


class TestKafkaLog(LogContract):
    @pytest.fixture
    def log(self, written: Settings) -> Iterator[Log]:
        log = KafkaLog(written)
        yield log
        log.close()

    def test_checkpoints_are_no_part_of_the_log(self, log):
        assert "checkpoints" not in log.topics()
        assert "predictions" in log.topics()


class TestJoined(LogContract):
    @pytest.fixture(params=[0, 2, 3, 4, 6], ids="{} offsets archived".format)
    def log(
        self, request: pytest.FixtureRequest, tmp_path: Path, written: Settings
    ) -> Iterator[Log]:
        archive(tmp_path, request.param, 2)
        live = KafkaLog(written)
        yield Joined(ArchiveLog(tmp_path), live)
        live.close()


@pytest.fixture(scope="module")
def written(bootstrap_of_session: str) -> Settings:
    """A namespace whose labels-1 holds RECORDS, written in two transactions."""
    settings = Settings(bootstrap=bootstrap_of_session, namespace="t-log-contract", partitions=2)
    conf = {"bootstrap.servers": settings.bootstrap}
    create_topics(conf, settings.namespace, settings.partitions)
    producer = Producer({**conf, "transactional.id": "t-log-contract"})
    producer.init_transactions(30)
    for offsets in TRANSACTIONS:
        producer.begin_transaction()
        for raw in map(record, offsets):
            producer.produce(
                settings.topic(raw.topic), raw.value, raw.key, raw.partition, headers=[*raw.headers]
            )
        producer.commit_transaction(30)
    return settings


@pytest.fixture(scope="module")
def bootstrap_of_session(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("broker").bootstrap


def archive(folder: Path, end: int, step: int) -> None:
    """Archive the offsets below `end`, so many a file."""
    for first in range(0, end, step):
        upto = min(first + step, end)
        some = [r for r in RECORDS if first <= r.offset < upto]
        write_raw(folder, some, ("labels", 1), cover_of([r.offset for r in some], first, upto))
