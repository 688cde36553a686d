"""aiokafka clients from the settings that the other clients take, as librdkafka names them."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka import AIOKafkaProducer

from streamops.errors import ConfigError
from streamops.settings import Settings

REQUEST_TIMEOUT_MS = 60_000
PASSED_OVER = frozenset({"log_level", "client.id", "debug"})
KNOWN = {
    "security.protocol": "PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.mechanisms": "",
    "sasl.username": "",
    "sasl.password": "",
    "ssl.ca.location": "",
    "ssl.certificate.location": "",
    "ssl.key.location": "",
    "ssl.key.password": "",
    "ssl.endpoint.identification.algorithm": "https",
}


def auth(settings: Settings) -> dict[str, Any]:
    """Return aiokafka's security arguments.

    Raises ConfigError for a setting that only librdkafka has.
    """
    unknown = sorted(settings.kafka.keys() - KNOWN.keys() - PASSED_OVER)
    if unknown:
        raise ConfigError(
            f"kafka setting {unknown[0]!r} is not known to the Faust host; leave it out, or run "
            "the control plane with control='kafka'"
        )
    given = {**KNOWN, **settings.kafka}
    protocol = given["security.protocol"].upper()
    found: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        found["ssl_context"] = _ssl_context(given)
    if protocol.startswith("SASL"):
        found["sasl_mechanism"] = given["sasl.mechanisms"] or given["sasl.mechanism"]
        found["sasl_plain_username"] = given["sasl.username"]
        found["sasl_plain_password"] = given["sasl.password"]
    return found


def _ssl_context(given: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given["ssl.ca.location"] or None)
        if given["ssl.certificate.location"]:
            context.load_cert_chain(
                given["ssl.certificate.location"],
                given["ssl.key.location"] or None,
                given["ssl.key.password"] or None,
            )
    except OSError as error:
        raise ConfigError(f"kafka's ssl settings can't be loaded: {error}") from error
    context.check_hostname = given["ssl.endpoint.identification.algorithm"] != "none"
    return context


def make_aio_producer(settings: Settings, client: str) -> Any:
    """Return a producer for the running loop: acks=all, idempotent, at once."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap.split(","),
        client_id=f"{settings.namespace}.{client}",
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        compression_type="lz4",
        max_request_size=4_194_304,
        max_batch_size=262_144,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=30_000,
        **auth(settings),
    )
