"""What tests share: one embedded broker for the whole session, a namespace for each test."""

from __future__ import annotations

import gc
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from streamops.kafka.admin import delete_namespace
from streamops.kafka.broker import EmbeddedBroker

# A failing example is found again in the next run, on any machine; a slow one is no failure.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


# Each of the dozens of brokers starts with half of the CPU.
os.environ["STREAMOPS_SHARED_CLASSES"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    """Let a `timeout` that ends pytest end what tests have started, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the tests themselves, thousands of objects, out of collections while unit tests run.

    `_let_go_of_clients` takes them in again.
    """
    gc.collect()
    gc.freeze()


class ByFile(LoadScopeScheduling):
    """Whole files to a worker: their fixtures are made once. Simulations are as one file."""

    def _split_scope(self, nodeid: str) -> str:
        return "simulation" if is_simulation(nodeid) else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the simulations: they take longest."""
    items.sort(key=lambda item: not is_simulation(item.nodeid))


def is_simulation(nodeid: str) -> bool:
    """Whether a test plays whole tables on stacks of its own."""
    return nodeid.startswith(("tests/simulation/test_kills", "tests/simulation/test_simulate"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not looked at, before pytest's own closing line."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reasons):
        if "browser tests not run" in reason:
            terminalreporter.line(reason.removeprefix("Skipped: "))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running embedded broker; a test that kills it starts it again."""
    started = EmbeddedBroker(tmp_path_factory.mktemp("broker"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def bootstrap(broker: EmbeddedBroker) -> str:
    """`host:port` of the session's broker."""
    return broker.bootstrap


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name no other test has; its topics are deleted afterwards if a broker ran."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    yield name
    if "broker" in request.fixturenames:
        broker = request.getfixturevalue("broker")
        delete_namespace({"bootstrap.servers": broker.bootstrap}, name)


@pytest.fixture(scope="module", autouse=True)
def _let_go_of_clients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Free the clients of hosts that ran in this process, where there usually is one for good.

    A host freezes what the collector has seen. Each Kafka client takes one of the 1,024
    thread-local keys of a process; then no client, and no Rust extension, can be made any more.
    """
    yield
    if request.node.nodeid.startswith(("tests/integration", "tests/contract")):
        gc.unfreeze()
        gc.collect()


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent
