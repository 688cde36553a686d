"""The ports of an embedded broker: chosen free once, then kept with its data."""

from __future__ import annotations

import random
import socket
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

import msgspec

from streamops.errors import TransportError

PORT_FIRST = 20000
# Linux's own default, where the range can't be read.
CLIENT_PORTS_FROM = 32768


class Ports(msgspec.Struct, frozen=True):
    """What a data folder was given when it was made; `cluster_id` is Kafka's own spelling."""

    port: int
    controller_port: int
    cluster_id: str


def choose_ports() -> Ports:
    """Two ports of 127.0.0.1 that are free now, and a new cluster's id."""
    free = (port for port in candidate_ports() if is_free(port))
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    try:
        # A leading dash would read as an option on Kafka's command line.
        return Ports(next(free), next(free), "A" + cluster_id[1:])
    except StopIteration:
        raise TransportError(
            f"no two free ports on 127.0.0.1 from {PORT_FIRST} up: allow loopback sockets"
        ) from None


def candidate_ports() -> list[int]:
    """Ports below those that the system gives to clients, in random order.

    A client that retries a port of that range while the broker is down can be given the same port
    as its own end: it then talks to itself, and the broker can't have its port back.
    """
    try:
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        end = CLIENT_PORTS_FROM
    ports = list(range(PORT_FIRST, end)) or list(range(PORT_FIRST, 65536))
    random.shuffle(ports)
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_port(port: int) -> None:
    """TransportError when something listens on the port, most likely this very broker."""
    if not is_free(port):
        raise TransportError(
            f"port {port} of 127.0.0.1 is taken: stop what listens there (another broker over "
            "this data folder?)"
        )
