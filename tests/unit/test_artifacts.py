"""Artifacts: one hash for equal models, and nothing loaded that isn't reviewed."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamops.errors import InputError, TransportError
from streamops.training import artifacts

PLACE = np.arange(240, dtype=np.float64)
X = np.stack([PLACE % 7, PLACE % 11, (PLACE * 37) % 101], axis=1)
Y = ((X[:, 0] + X[:, 1]) > 8).astype(int)


def estimators() -> list[object]:
    return [
        HistGradientBoostingClassifier(max_iter=5, early_stopping=False, random_state=0),
        RandomForestClassifier(3, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ]


@pytest.mark.parametrize("at", range(3))
def test_equal_training_has_an_equal_hash(at, tmp_path):
    first = artifacts.save(tmp_path, estimators()[at].fit(X, Y))
    second = artifacts.save(tmp_path, estimators()[at].fit(X, Y))
    assert first == second
    other = artifacts.save(tmp_path, estimators()[at].fit(X, 1 - Y))
    assert other != first


def test_another_process_and_hash_seed_gives_the_same_bytes(tmp_path):
    here = artifacts.save(tmp_path, LogisticRegression().fit(X, Y))
    program = (
        "import numpy as np; from pathlib import Path\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from streamops.training import artifacts\n"
        "place = np.arange(240, dtype=np.float64)\n"
        "x = np.stack([place % 7, place % 11, (place * 37) % 101], axis=1)\n"
        "y = ((x[:, 0] + x[:, 1]) > 8).astype(int)\n"
        f"print(artifacts.save(Path({str(tmp_path)!r}), LogisticRegression().fit(x, y)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
    )
    assert there.stdout.strip() == here


def test_what_is_loaded_answers_as_what_was_saved(tmp_path):
    for estimator in estimators():
        fitted = estimator.fit(X, Y)
        loaded = artifacts.load(tmp_path, artifacts.save(tmp_path, fitted))
        assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_the_file_stands_under_its_own_hash(tmp_path):
    digest = artifacts.save(tmp_path, LogisticRegression().fit(X, Y))
    data = (tmp_path / digest[:2] / digest).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest
    assert {info.compress_type for info in zipfile.ZipFile(io.BytesIO(data)).infolist()} == {0}


def test_a_changed_byte_is_refused(tmp_path):
    digest = artifacts.save(tmp_path, LogisticRegression().fit(X, Y))
    path = artifacts.address(tmp_path, digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=digest):
        artifacts.load(tmp_path, digest)


def test_a_type_that_is_not_reviewed_is_refused_both_ways(tmp_path):
    fitted = KNeighborsClassifier().fit(X, Y)
    with pytest.raises(InputError, match=r"sklearn\.neighbors\._classification"):
        artifacts.save(tmp_path, fitted)
    data = artifacts.canonical(skops.io.dumps(fitted))
    digest = hashlib.sha256(data).hexdigest()
    path = artifacts.address(tmp_path, digest)
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(InputError, match="not on the reviewed list"):
        artifacts.load(tmp_path, digest)


def test_a_function_that_would_run_a_command_is_refused(tmp_path):
    with pytest.raises(InputError, match="reviewed list"):
        artifacts.save(tmp_path, {"estimator": os.system})


def test_a_missing_file_and_a_name_that_is_no_hash(tmp_path):
    with pytest.raises(TransportError, match="can't be read"):
        artifacts.load(tmp_path, "0" * 64)
    with pytest.raises(InputError, match="64 hex digits"):
        artifacts.load(tmp_path, "../../etc/passwd")


def test_memory_between_the_fields_of_a_record_does_not_count():
    dtype = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8]})
    values = []
    for filling in (b"\0", b"\xff"):
        array = np.frombuffer(filling * 32, dtype=dtype).copy()
        array["a"], array["b"] = 1, 2.5
        out = io.BytesIO()
        np.save(out, array)
        values.append(artifacts._without_padding(out.getvalue()))
    assert values[0] == values[1]


def test_a_keyed_object_is_ours_alone(tmp_path):
    name = artifacts.recipe_hash({"class": "x", "count": 3})
    artifacts.save_keyed(tmp_path, name, {"leaf": [1, 2]})
    assert artifacts.load_keyed(tmp_path, name) == {"leaf": [1, 2]}
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    path = artifacts.address(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="keyed hash"):
        artifacts.load_keyed(tmp_path, name)
    path.write_bytes(data)
    (tmp_path / "key").write_bytes(b"another key, thirty-two bytes lo")
    with pytest.raises(InputError, match="keyed hash"):
        artifacts.load_keyed(tmp_path, name)


def test_a_keyed_object_can_not_stand_under_another_name():
    key = b"k" * 32
    sealed = artifacts.seal(key, "one", 1)
    assert artifacts.unseal(key, "one", sealed) == 1
    with pytest.raises(InputError, match="two"):
        artifacts.unseal(key, "two", sealed)


def test_a_recipe_is_its_content_whatever_its_order():
    assert artifacts.recipe_hash({"a": 1, "b": 2}) == artifacts.recipe_hash({"b": 2, "a": 1})
    assert artifacts.recipe_hash({"a": 1}) != artifacts.recipe_hash({"a": 2})
