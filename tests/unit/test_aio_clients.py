"""aiokafka's arguments from librdkafka's settings: one --kafka-config serves every client."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from streamops.errors import ConfigError
from streamops.hosts.aio_clients import auth
from streamops.settings import Settings


def given(**kafka: str) -> Settings:
    return Settings(bootstrap="k:9092", kafka={k.replace("_", "."): v for k, v in kafka.items()})


def test_without_settings_it_is_plain():
    assert auth(given()) == {"security_protocol": "PLAINTEXT"}


def test_a_password_is_handed_over_under_either_name_of_the_mechanism():
    login = {"sasl_username": "ann", "sasl_password": "secret"}
    for name in ("sasl_mechanism", "sasl_mechanisms"):
        found = auth(given(security_protocol="sasl_plaintext", **login, **{name: "SCRAM-SHA-512"}))
        assert found == {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "ann",
            "sasl_plain_password": "secret",
        }


def test_tls_checks_the_brokers_name_unless_told_not_to():
    context = auth(given(security_protocol="SSL"))["ssl_context"]
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    lax = {"ssl_endpoint_identification_algorithm": "none"}
    assert not auth(given(security_protocol="SASL_SSL", **lax))["ssl_context"].check_hostname


def test_a_certificate_that_is_not_there_is_the_operators_error(tmp_path: Path):
    missing = str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="ssl settings can't be loaded"):
        auth(given(security_protocol="SSL", ssl_ca_location=missing))


def test_what_only_librdkafka_has_is_refused_and_the_way_out_named():
    with pytest.raises(ConfigError, match=r"'queued.min.messages'.*control='kafka'"):
        auth(given(queued_min_messages="1"))


def test_what_means_nothing_here_is_passed_over():
    assert auth(given(client_id="x", debug="all")) == {"security_protocol": "PLAINTEXT"}
