"""The first batch of a producer for a partition is refused: what it held is sent before the next.

A broker that knows no sequence of a producer yet takes any. Where a second batch is on its way
while the first is refused, the first is called a repeat when it comes again, and is nowhere.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import msgspec
import pytest
from confluent_kafka import TopicPartition

from streamops.kafka.clients import make_consumer, make_producer, take
from streamops.settings import Settings
from tests.hosting import new_settings

PRODUCE = 0
HOST = b"127.0.0.1"
# Far above what a client asks before it sends, far below the batches of the test.
BATCH_BYTES = 100_000
RECORDS, SIZE = 6, 1_000_000


class Noise:
    """Turns a bit over in the first large batch that passes, as a bad cable would."""

    def __init__(self) -> None:
        self.batches = 0

    def __call__(self, frame: bytes) -> bytes:
        (api_key,) = struct.unpack_from(">h", frame)
        if api_key != PRODUCE or len(frame) < BATCH_BYTES:
            return frame
        self.batches += 1
        if self.batches > 1:
            return frame
        middle = len(frame) // 2
        return frame[:middle] + bytes([frame[middle] ^ 1]) + frame[middle + 1 :]


def frames(source: socket.socket) -> Iterator[bytes]:
    """What Kafka's protocol sends as one request or response, without its length."""
    with source.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            yield stream.read(*struct.unpack(">i", head))


def pump(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with suppress(OSError):
        for frame in frames(source):
            changed = change(frame)
            target.sendall(struct.pack(">i", len(changed)) + changed)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def through_noise(bootstrap: str) -> Iterator[tuple[str, Noise]]:
    """Stand between clients and the broker, and name oneself where it names itself."""
    port, noise = int(bootstrap.rpartition(":")[2]), Noise()
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        own = listener.getsockname()[1]
        told, named = (HOST + struct.pack(">i", at) for at in (port, own))

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                server = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                stack.enter_context(client)
                for ends in (
                    (client, server, noise),
                    (server, client, lambda frame: frame.replace(told, named)),
                ):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{own}", noise
        # A close alone doesn't wake who waits in accept.
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def settings(bootstrap, namespace, tmp_path) -> Settings:
    return new_settings(bootstrap, namespace, tmp_path, 1)


def stored(settings: Settings) -> list[bytes]:
    place = TopicPartition(settings.topic("predictions"), 0, 0)
    with closing(make_consumer(settings, "reading")) as consumer:
        _, end = consumer.get_watermark_offsets(place, 30)
        consumer.assign([place])
        found = list[bytes]()
        while len(found) < end:
            found += [message.value() or b"" for message in take(consumer, end, 1.0)]
        return found


def test_a_first_batch_that_is_refused_is_sent_again_before_the_second(settings):
    told = list[str | None]()
    with through_noise(settings.bootstrap) as (address, noise):
        near = msgspec.structs.replace(settings, bootstrap=address)
        producer = make_producer(near, "noisy", **{"compression.type": "none"})
        for number in range(RECORDS):
            producer.produce(
                settings.topic("predictions"),
                b"%d" % number * SIZE,
                b"k",
                0,
                lambda error, _: told.append(error and error.str()),
            )
        assert producer.flush(60) == 0
    assert told == [None] * RECORDS
    assert noise.batches > 1
    assert [value[:1] for value in stored(settings)] == [b"%d" % n for n in range(RECORDS)]
