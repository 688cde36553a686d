"""The detectors' bytes are equal on other SIMD paths of NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import hashlib
import msgspec
import numpy as np
from streamops.core import alternatives, bf_sr, dependence, esr, scores, season, sr_mixture
from streamops.core import t_factors, tsr

rng = np.random.Generator(np.random.PCG64(1))
digest = hashlib.sha256()
panes = rng.integers(0, 40, (60, 4, 20))
live = rng.integers(0, 44, (80, 4, 20))
measured = dependence.measure(panes, np.ones(4, dtype=np.bool_))
for part in measured:
    digest.update(part.tobytes())
scale = scores.scale_of(panes)
for one in (season.NO_SEASON, season.phases(6), season.sines(6, 2)):
    base = t_factors.baseline(scale, panes, np.arange(60) % len(one.rows), one)
    state = tsr.initial(base)
    for number, counts in enumerate(live):
        state, found = tsr.step(base, state, counts, 1e6, number % len(one.rows))
        digest.update(found.evidence.tobytes())
    digest.update(msgspec.json.encode(state))
base = alternatives.baseline(panes.sum(axis=0).tolist(), [True, True, False, False], [1, 2, 1, 3])
state = esr.initial(base)
for counts in live:
    state, found = esr.step(base, state, counts, 1e6)
    digest.update(found.evidence.tobytes())
digest.update(msgspec.json.encode(state))
errors = (rng.integers(0, 5, 3000) == 0).tolist()
mixture, bayes = sr_mixture.initial(), bf_sr.initial((400, 2000), np.tile([160, 40], 10))
known = sr_mixture.baseline(400, 2000, 1.5)
for is_error in errors:
    mixture, _ = sr_mixture.step(known, mixture, is_error, 1e6)
    # Errors gather in one tenth: its factors are computed.
    bayes, _ = bf_sr.step(bayes, is_error, 1e6, 1.5, tenth=4 if is_error else 9)
digest.update(msgspec.json.encode((mixture, bayes)))
print(digest.hexdigest())
"""


def run(features: str, code: str) -> str:
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    found = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def bytes_with(features: str) -> str:
    return run(features, RUN)


def dispatched() -> list[str]:
    """What this CPU has beyond NumPy's baseline: each may be switched off."""
    found: list[str] = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return found


def test_detectors_have_the_same_bytes_without_what_numpy_dispatches_to():
    """A CPU without these features takes NumPy's other loops."""
    features = dispatched()
    everything = bytes_with("")
    assert len(everything) == 64
    for disabled in {tuple(features), tuple(features[-1:])}:
        assert bytes_with(" ".join(disabled)) == everything


def test_the_features_are_really_switched_off():
    """Or the test above says nothing: NumPy ignores names that it doesn't know."""
    if not dispatched():
        pytest.skip("this CPU has nothing beyond NumPy's baseline")
    show = "import numpy as np; print(np._core._multiarray_umath.__cpu_features__)"
    plain, without = run("", show), run(" ".join(dispatched()), show)
    assert plain != without
