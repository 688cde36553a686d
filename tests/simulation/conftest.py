"""What simulations of real tables share: one undisturbed run to hold the others against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulated import Play, play


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Play:
    """The first 8,000 rows of Elec2, played once without any disturbance."""
    return play(root, tmp_path_factory.mktemp("quiet"))
