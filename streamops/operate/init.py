"""The configuration file of models: a commented one to begin with, and reading one.

The text below is read by a test with the same function that reads the user's: what it shows works.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamops.config import ModelConfig, check_config
from streamops.errors import ConfigError
from streamops.training.own_detectors import with_code

DEFAULT_FILE = Path("streamops.toml")

TEMPLATE = """\
# How models are watched and retrained. Send it with: streamops apply {file}
# Each [[models]] table is one model; copy it for more. What is left out has its default.

[[models]]
model = {model}        # the name your application gives to log_prediction
pane_s = {pane_s}               # length of a pane, seconds: aim at some hundred predictions each
allowed_lateness_s = 0   # grace for late predictions before a pane closes, seconds
maturity_s = 0           # how long after a pane's end its labels are judged, seconds
horizon_s = 259200       # how long a prediction waits for its label, seconds; at least maturity_s
cohort_delay_s = 0       # after this long detectors see an outcome, seconds; at most maturity_s
min_coverage = 0.5       # below this share of labels a pane's performance is not judged
false_alarms_per_month = 1.0  # what drift tests may raise for nothing, all features together
detectors = ["adwin", "page_hinkley", "ddm"]  # on the error stream; they alert only by a rule

# Segments are counted on their own; values not listed are the segment's "~other".
# [models.segments]
# region = ["north", "south"]

# Alert rules. `above` or `below` is the limit; relative = true bounds value minus reference.
# An alert is raised after `raise_after` panes beyond the limit in a row, and resolved after
# `resolve_after` panes within `resolve` (the limit itself if left out).

[[models.rules]]
name = "feature-drift"
kind = "data_drift"
metric = "drift"         # a test of each feature against its reference: no limit but the budget
feature = "*"
moderate = 0.1           # severity by the PSI that the change has at least, nats
major = 0.25

# Scores (score_drift) and labels (label_drift, on mature panes) are tested where a rule asks.
# [[models.rules]]
# name = "label-drift"
# kind = "label_drift"
# metric = "label_drift"

[[models.rules]]
name = "accuracy-drop"
kind = "performance"
metric = "accuracy"      # mae for a numeric target, with `above`
below = -0.05            # five points below what the version had when it was accepted
relative = true
resolve = -0.03
raise_after = 2

[[models.rules]]
name = "missing-values"
kind = "quality"
metric = "missing_rate"
feature = "*"
above = 0.2
relative = true

[[models.rules]]
name = "errors"
kind = "error_rate"
metric = "error_rate"
above = 0.05

[[models.rules]]
name = "changed-concept"
kind = "concept_drift"
metric = "adwin"         # a detector: no limit

# Which alerts page; the others are raised all the same, with the reason.
[models.noise]
group_panes = 24         # alerts within so many panes of an open incident are one page with it
flap_times = 3           # raised so many times in less than flap_panes panes: flapping, pages once
flap_panes = 24

# When to ask for challengers, and how many.
[models.retrain]
kinds = ["performance", "concept_drift"]  # open alerts of these kinds ask; [] never asks
cooldown_panes = 2       # mature panes between two requests
budget = 30              # at most so many requests in budget_panes panes
budget_panes = 100
min_labels = 1000        # fewest labelled rows there must be
strategies = ["recent", "all", "since_change"]
recent_rows = 4000       # rows the `recent` challenger learns from
holdout_rows = 500       # newest rows, kept from training to compare
trainer = "hist_gradient_boosting"  # or "module:function", which gets X and y

# What a candidate must show before it goes to Production.
[models.gate]
metric = "accuracy"      # accuracy, f1 or mae
margin = 0.005           # how much better than the champion it must be
segment_drop = 0.1       # how much worse any segment may be
approval = false         # true: a person approves, by `streamops approve`
"""


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration file: models, each by its name once."""

    models: tuple[ModelConfig, ...]


def write_template(file: Path, model: str, pane_s: int) -> None:
    """Write a commented configuration of one model.

    Raises ConfigError if the file is there already, or could not be applied.
    """
    text = text_for(file, model, pane_s)
    try:
        with file.open("x") as out:
            out.write(text)
    except FileExistsError:
        raise ConfigError(
            f"file {file} is there already: name another, or edit and apply it"
        ) from None
    except OSError as error:
        raise ConfigError(f"file {file} can't be written: {error}") from error


def text_for(file: Path, model: str, pane_s: int) -> str:
    """The text of a configuration; ConfigError for a model or pane that `apply` would refuse."""
    try:
        # A text of JSON is one of TOML, but for a character that only JSON lets in as it is.
        name = msgspec.json.encode(model).decode().replace("\x7f", "\\u007f")
        text = TEMPLATE.format(file=file, model=name, pane_s=pane_s)
        (config,) = msgspec.toml.decode(text, type=ConfigFile).models
    except ValueError as error:
        raise ConfigError(f"--model is {model!r}, file {file}: {error}; name another") from None
    check_config(config)
    return text


def read_config(file: Path) -> tuple[ModelConfig, ...]:
    """The models of a TOML file, checked; ConfigError names the file and the setting."""
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=ConfigFile)
    except FileNotFoundError:
        raise ConfigError(f"file {file} isn't there: `streamops init {file}` writes one") from None
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{file}: {error}") from error
    if not found.models:
        raise ConfigError(f"{file} has no [[models]]: `streamops init` shows one")
    names = [config.model for config in found.models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{file}: model is {name!r} twice; give each model one table")
    return tuple(check_config(with_code(config)) for config in found.models)
