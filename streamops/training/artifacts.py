"""Model files by content: what is stored, what may be loaded.

Rule 1: a file's name is its SHA-256, and equal training gives equal bytes. skops writes memory
        addresses and dates, so its archive is rewritten: ids by first appearance, one date, fixed
        order, no compression, zeroed padding.
Rule 2: a file is loaded only if its bytes have the hash that the log names and every type in it
        stands in `REVIEWED` (DESIGN rule 14).
Rule 3: what skops can't write (river) is pickled only for ourselves: under HMAC-SHA256 with a key
        that never leaves the data folder. A pickle's bytes may differ for equal objects (shared
        references, insertion order), so its name is the hash of how it was made: class, parameters,
        library, outcomes in order and their number (`recipe_hash`).
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamops.errors import InputError, TransportError

KEY_BYTES = 32
TAG_BYTES = 32
SCHEMA = "schema.json"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)

# What skops would call a function, with what arguments, is in the file: these alone are allowed.
_PLAIN = """
builtins.dict builtins.list builtins.tuple builtins.set builtins.str builtins.int builtins.float
builtins.bool builtins.slice builtins.type functools.partial collections.OrderedDict
collections.defaultdict
numpy.ndarray numpy.dtype numpy.matrix numpy.float64 numpy.float32 numpy.int64 numpy.int32
numpy.uint64 numpy.uint32 numpy.uint8 numpy.int8 numpy.bool numpy.bool_ numpy.str_ numpy.object_
numpy.random.mtrand.RandomState numpy.random._generator.Generator
scipy.sparse._csr.csr_matrix scipy.sparse._csc.csc_matrix
sklearn.utils._bunch.Bunch sklearn.utils.validation.check_array
"""
_ESTIMATORS = """
sklearn.calibration.CalibratedClassifierCV sklearn.calibration._CalibratedClassifier
sklearn.calibration._SigmoidCalibration sklearn.isotonic.IsotonicRegression
sklearn.compose._column_transformer.ColumnTransformer
sklearn.compose._target.TransformedTargetRegressor
sklearn.decomposition._pca.PCA
sklearn.dummy.DummyClassifier sklearn.dummy.DummyRegressor
sklearn.ensemble._bagging.BaggingClassifier sklearn.ensemble._bagging.BaggingRegressor
sklearn.ensemble._forest.ExtraTreesClassifier sklearn.ensemble._forest.ExtraTreesRegressor
sklearn.ensemble._forest.RandomForestClassifier sklearn.ensemble._forest.RandomForestRegressor
sklearn.ensemble._gb.GradientBoostingClassifier sklearn.ensemble._gb.GradientBoostingRegressor
sklearn.ensemble._hist_gradient_boosting.binning._BinMapper
sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier
sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor
sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor
sklearn.ensemble._voting.VotingClassifier sklearn.ensemble._voting.VotingRegressor
sklearn.ensemble._weight_boosting.AdaBoostClassifier
sklearn.ensemble._weight_boosting.AdaBoostRegressor
sklearn.feature_selection._variance_threshold.VarianceThreshold
sklearn.impute._base.SimpleImputer sklearn.impute._base.MissingIndicator
sklearn.linear_model._base.LinearRegression
sklearn.linear_model._coordinate_descent.ElasticNet
sklearn.linear_model._coordinate_descent.Lasso
sklearn.linear_model._logistic.LogisticRegression
sklearn.linear_model._ridge.Ridge sklearn.linear_model._ridge.RidgeClassifier
sklearn.linear_model._stochastic_gradient.SGDClassifier
sklearn.linear_model._stochastic_gradient.SGDRegressor
sklearn.naive_bayes.BernoulliNB sklearn.naive_bayes.GaussianNB
sklearn.neural_network._multilayer_perceptron.MLPClassifier
sklearn.neural_network._multilayer_perceptron.MLPRegressor
sklearn.neural_network._stochastic_optimizers.AdamOptimizer
sklearn.neural_network._stochastic_optimizers.SGDOptimizer
sklearn.pipeline.Pipeline sklearn.pipeline.FeatureUnion
sklearn.preprocessing._data.MaxAbsScaler sklearn.preprocessing._data.MinMaxScaler
sklearn.preprocessing._data.PowerTransformer sklearn.preprocessing._data.QuantileTransformer
sklearn.preprocessing._data.RobustScaler sklearn.preprocessing._data.StandardScaler
sklearn.preprocessing._discretization.KBinsDiscretizer
sklearn.preprocessing._encoders.OneHotEncoder sklearn.preprocessing._encoders.OrdinalEncoder
sklearn.preprocessing._function_transformer.FunctionTransformer
sklearn.preprocessing._label.LabelBinarizer sklearn.preprocessing._label.LabelEncoder
sklearn.preprocessing._polynomial.PolynomialFeatures
sklearn.svm._classes.LinearSVC sklearn.svm._classes.LinearSVR
sklearn.svm._classes.SVC sklearn.svm._classes.SVR
sklearn.tree._classes.DecisionTreeClassifier sklearn.tree._classes.DecisionTreeRegressor
sklearn.tree._classes.ExtraTreeClassifier sklearn.tree._classes.ExtraTreeRegressor
sklearn.tree._tree.Tree
"""
_LOSSES = """
sklearn._loss._loss.CyHalfBinomialLoss sklearn._loss._loss.CyHalfMultinomialLoss
sklearn._loss._loss.CyHalfSquaredError sklearn._loss._loss.CyAbsoluteError
sklearn._loss._loss.CyHalfPoissonLoss sklearn._loss._loss.CyHalfGammaLoss
sklearn._loss._loss.CyPinballLoss
sklearn._loss.link.HalfLogitLink sklearn._loss.link.IdentityLink sklearn._loss.link.Interval
sklearn._loss.link.LogitLink sklearn._loss.link.LogLink sklearn._loss.link.MultinomialLogit
sklearn._loss.loss.AbsoluteError sklearn._loss.loss.ExponentialLoss
sklearn._loss.loss.HalfBinomialLoss sklearn._loss.loss.HalfGammaLoss
sklearn._loss.loss.HalfMultinomialLoss sklearn._loss.loss.HalfPoissonLoss
sklearn._loss.loss.HalfSquaredError sklearn._loss.loss.PinballLoss
sklearn.linear_model._sgd_fast.Hinge
"""
_HEADER_BYTES = 128
REVIEWED = frozenset(f"{_PLAIN} {_ESTIMATORS} {_LOSSES}".split())


def save(folder: Path, estimator: Any) -> str:
    """Store an estimator (or a dictionary of such) and return its SHA-256 (hex).

    The file is `folder/sha256[:2]/sha256`, written once and never changed. Raises InputError for a
    type that isn't reviewed, so that nothing is stored that could not be loaded.
    """
    import skops.io

    try:
        written = skops.io.dumps(estimator)
    except TypeError as error:
        raise InputError(f"estimator can't be written: {error}; use a scikit-learn one") from None
    data = canonical(written)
    check_types(data)
    digest = hashlib.sha256(data).hexdigest()
    _write_once(address(folder, digest), data)
    return digest


def load(folder: Path, sha256: str) -> Any:
    """Return the object stored under a hash.

    Raises TransportError where the file is missing, InputError where its bytes have another hash,
    can't be read, or hold a type that isn't reviewed.
    """
    import skops.io

    data = _read(address(folder, sha256))
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise InputError(
            f"artifact is {found}, the log names {sha256}; restore the file or train again"
        )
    check_types(data)
    return skops.io.loads(data, trusted=sorted(REVIEWED))


def address(folder: Path, sha256: str) -> Path:
    """Return where the file with this hash stands; raises InputError for what is no hash."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise InputError(f"artifact is {sha256!r}; give the 64 hex digits of a SHA-256")
    return folder / sha256[:2] / sha256


def check_types(data: bytes) -> None:
    """Raise InputError naming the types of a skops file that aren't reviewed."""
    strange = sorted(set(_types(_schema(data))) - REVIEWED)
    if strange:
        raise InputError(
            f"artifact holds {', '.join(strange)}, not on the reviewed list "
            "(streamops/training/artifacts.py); train with a listed estimator"
        )


def canonical(data: bytes) -> bytes:
    """Return the same skops archive in the one form that equal objects have.

    The writer's ids tell only which arrays are shared: they are numbered by first appearance, and
    plain values, which Python may or may not share, get a number each.
    """
    archive = zipfile.ZipFile(io.BytesIO(data))
    schema = _schema(data)
    names: dict[str, str] = {}
    _renumber(schema, {}, names)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as written:
        text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
        _add(written, SCHEMA, text.encode())
        for old, new in names.items():
            _add(written, new, _without_padding(archive.read(old)))
    return out.getvalue()


def _renumber(node: Any, ids: dict[object, int], names: dict[str, str]) -> None:
    if isinstance(node, list):
        for item in node:
            _renumber(item, ids, names)
    elif isinstance(node, dict):
        if "__id__" in node:
            alone = node.get("__loader__") == "JsonNode"
            key = ("plain", len(ids)) if alone else node["__id__"]
            node["__id__"] = ids.setdefault(key, len(ids) + 1)
        if isinstance(node.get("file"), str):
            kind = Path(node["file"]).suffix
            node["file"] = names.setdefault(node["file"], f"{len(names)}{kind}")
        for key, value in node.items():
            if key not in ("__id__", "file"):
                _renumber(value, ids, names)


def _without_padding(data: bytes) -> bytes:
    """Zero the unnamed bytes between a record array's fields: they are whatever memory held."""
    # Only a record array's header lists its fields; the others needn't be read.
    if not data.startswith(b"\x93NUMPY") or b"[(" not in data[:_HEADER_BYTES]:
        return data
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    clean = np.zeros(array.shape, dtype=array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    out = io.BytesIO()
    np.save(out, clean, allow_pickle=False)
    return out.getvalue()


def _schema(data: bytes) -> dict[str, Any]:
    try:
        schema = json.loads(zipfile.ZipFile(io.BytesIO(data)).read(SCHEMA))
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"artifact is no skops file: {error}; store it with `save`") from None
    if not isinstance(schema, dict):
        raise InputError("artifact's schema is no object; store it with `save`")
    return schema


def _types(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _types(item)
    elif isinstance(node, dict):
        if "__class__" in node:
            yield f"{node.get('__module__')}.{node['__class__']}"
        for value in node.values():
            yield from _types(value)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, ZIP_DATE), data)


# Under a keyed hash -------------------------------------------------------------------------------


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of how an object was made: what names a keyed file."""
    return hashlib.sha256(msgspec.json.encode(recipe, order="deterministic")).hexdigest()


def save_keyed(folder: Path, name: str, value: Any) -> None:
    """Store our own object under a name (64 hex digits), readable only with this folder's key."""
    path = address(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, seal(key_of(folder), name, value))


def load_keyed(folder: Path, name: str) -> Any:
    """Return the object of a name; TransportError if missing, InputError if it isn't ours."""
    return unseal(key_of(folder), name, _read(address(folder, name)))


def seal(key: bytes, name: str, value: Any) -> bytes:
    """Return the pickled value behind its HMAC-SHA256, which covers the name too."""
    body = pickle.dumps(value, protocol=5)
    return _tag(key, name, body) + body


def unseal(key: bytes, name: str, data: bytes) -> Any:
    """Return the value that `seal` got; raises InputError unless key and name are the same."""
    tag, body = data[:TAG_BYTES], data[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, name, body)):
        raise InputError(
            f"object {name!r} has a wrong keyed hash; delete it, it is made again from the log"
        )
    return pickle.loads(body)


def key_of(folder: Path) -> bytes:
    """Return the folder's key, made at first use; only its owner can read the file."""
    path = folder / "key"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f"key.{os.getpid()}.tmp")
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return _read(path)


def _tag(key: bytes, name: str, body: bytes) -> bytes:
    return hmac.new(key, name.encode() + b"\0" + body, hashlib.sha256).digest()


def _write_once(path: Path, data: bytes) -> None:
    # A file that is there but damaged is mended by writing it again.
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise TransportError(f"{path} can't be written: {error}; free or mend the disk") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TransportError(f"{path} can't be read: {error.strerror}; restore the file") from None
