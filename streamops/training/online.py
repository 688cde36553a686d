"""The online learner: river's Hoeffding tree, prequential over a model's outcomes.

Rule 1: outcomes are folded in their fixed order, each first predicted, then learned. The state
        after n rows follows from the rows alone, so a fold from nothing gives the same snapshot.
Rule 2: a snapshot never learned from the rows it is judged on: the fold stops before them and goes
        on there at the next request.
Rule 3: a snapshot is named by how it was made: learner, parameters, library, columns and the chain
        of the rows in order. State and snapshots are pickled under our own keyed hash.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from streamops.core.profile import category_text
from streamops.errors import InputError, TransportError
from streamops.training import artifacts
from streamops.training.frames import Row, to_label, to_named
from streamops.training.outcomes import OutcomeRow
from streamops.training.scoring import About, RiverModel, Task
from streamops.values import FeatureProfile, Value

SEED = 0


class Fold:
    """A learner with what it has seen.

    rows   rows learned
    right  rows that were predicted right before they were learned (classes)
    chain  SHA-256 chain over the rows in order
    """

    def __init__(self, task: Task, columns: tuple[FeatureProfile, ...]) -> None:
        self.task = task
        self.columns = columns
        self.learner: Any = make_learner(task)
        self.classes: dict[str, Value] = {}
        self.rows = 0
        self.right = 0
        self.chain = hashlib.sha256(recipe(task, columns).encode()).digest()

    @property
    def accuracy(self) -> float | None:
        """Prequential accuracy, 0..1; None before the first row and for a regression."""
        return self.right / self.rows if self.rows and self.task != "regression" else None

    def learn(self, rows: Sequence[OutcomeRow]) -> None:
        """Predict, then learn, each row in order."""
        for row in rows:
            features: Row = _FEATURES.decode(row.features)
            named, label = to_named(features, self.columns), to_label(row.label, self.task)
            if self.task != "regression":
                self.classes.setdefault(str(label), row.label)
                self.right += self.learner.predict_one(named) == label
            self.learner.learn_one(named, label)
            self.rows += 1
            self.chain = link(self.chain, row)

    def snapshot(self, folder: Path, positive: str) -> tuple[str, RiverModel]:
        """Store the learner as it is; return its name (64 hex digits) and the frozen model."""
        name = artifacts.recipe_hash(
            {
                "chain": self.chain.hex(),
                "rows": self.rows,
                "recipe": recipe(self.task, self.columns),
                "positive": positive,
            }
        )
        classes = tuple(self.classes[text] for text in sorted(self.classes))
        if self.task == "binary":
            positive = positive or str(category_text(classes[-1]))
        about = About(task=self.task, columns=self.columns, classes=classes, positive=positive)
        artifacts.save_keyed(folder, name, RiverModel(about, self.learner))
        model = artifacts.load_keyed(folder, name)
        assert isinstance(model, RiverModel), "a snapshot is a river model"
        return name, model


class OnlineLearner:
    """Folds of all models, kept between requests and restarts.

    folder  where states lie, under their own key; delete it and they are folded again
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._folds: dict[str, Fold] = {}

    def advance(
        self,
        model: str,
        rows: Sequence[OutcomeRow],
        *,
        task: Task,
        columns: tuple[FeatureProfile, ...],
    ) -> Fold:
        """Return the fold over exactly these rows, going on from what is kept where it fits."""
        if not rows:
            raise InputError("rows is empty; give at least one labelled row to learn from")
        fold = self._folds.get(model) or self._kept(model)
        if fold is None or not _fits(fold, rows, task, columns):
            fold = Fold(task, columns)
        # One that fails in the middle has learned half a row: it is kept nowhere.
        self._folds.pop(model, None)
        fold.learn(rows[fold.rows :])
        self._folds[model] = fold
        artifacts.save_keyed(self.folder, _state_name(model), fold)
        return fold

    def _kept(self, model: str) -> Fold | None:
        with contextlib.suppress(TransportError, InputError):
            fold: Fold = artifacts.load_keyed(self.folder, _state_name(model))
            return fold
        return None


def make_learner(task: Task) -> Any:
    """Return a new learner: a Hoeffding tree (Domingos & Hulten 2000), adaptive for numbers."""
    from river import tree

    if task == "regression":
        # Linear leaves cannot read categories.
        return tree.HoeffdingAdaptiveTreeRegressor(leaf_prediction="mean", seed=SEED)
    return tree.HoeffdingTreeClassifier()


def recipe(task: Task, columns: tuple[FeatureProfile, ...]) -> str:
    """Return what, besides the rows, decides what is learned."""
    learner = make_learner(task)
    shape = [[c.name, c.kind, list(c.categories)] for c in columns]
    parameters = sorted((key, str(value)) for key, value in learner._get_params().items())
    made_of = {
        "class": type(learner).__name__,
        "parameters": parameters,
        "river": version("river"),
        "task": task,
        "columns": shape,
    }
    return msgspec.json.encode(made_of, order="deterministic").decode()


def link(chain: bytes, row: OutcomeRow) -> bytes:
    """Return the chain after one more row."""
    digest = hashlib.sha256(chain)
    digest.update(row.features)
    digest.update(b"\t" + msgspec.json.encode(row.label))
    return digest.digest()


def _fits(
    fold: Fold, rows: Sequence[OutcomeRow], task: Task, columns: tuple[FeatureProfile, ...]
) -> bool:
    if fold.rows > len(rows) or fold.task != task or fold.columns != columns:
        return False
    chain = hashlib.sha256(recipe(task, columns).encode()).digest()
    for row in rows[: fold.rows]:
        chain = link(chain, row)
    return chain == fold.chain


def _state_name(model: str) -> str:
    return artifacts.recipe_hash({"online": model})


_FEATURES: msgspec.json.Decoder[Row] = msgspec.json.Decoder(dict)
