"""What tests share: one embedded broker for the whole session, a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from streamops.kafka.admin import delete_namespace
from streamops.kafka.broker import EmbeddedBroker

# A failing example is found again in the next run, on any machine; a slow one is no failure.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker whole files, so that their fixtures are made once; simulations, which take
    longest, are one group and come first."""
    items.sort(key=lambda item: not is_simulation(item))
    for item in items:
        group = "simulation" if is_simulation(item) else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


def is_simulation(item: pytest.Item) -> bool:
    """Whether a test plays whole tables on stacks of its own."""
    return (
        item.path.name in ("test_kills.py", "test_simulate.py") and "simulation" in item.path.parts
    )


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


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parent.parent
