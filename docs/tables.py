"""Tables that pages take from the code: keys, types, defaults and meanings."""

from __future__ import annotations

import inspect
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from streamops import metrics
from streamops.config import GatePolicy, ModelConfig, NoisePolicy, RetrainPolicy, Rule
from streamops.core.times import SECOND_US
from streamops.operate.defaults import config_for, pane_seconds, training_rows
from streamops.operate.simulate import SimulateOptions
from streamops.operate.summary import AlertLine, Retrains, Summary, Verified
from streamops.operate.table import Columns, Row, Table
from streamops.operate.tally import Score
from streamops.settings import Settings

CONFIG = (ModelConfig, Rule, NoisePolicy, RetrainPolicy, GatePolicy)
SUMMARY = (Summary, AlertLine, Retrains, Score, Verified)
# What the docstrings leave to the field's name.
MEANINGS = {
    "ModelConfig.model": "the model's name",
    "ModelConfig.rules": "alert rules, see below",
    "ModelConfig.retrain": "when to ask for challengers, see below",
    "ModelConfig.gate": "what a candidate must show, see below",
    "Rule.name": "the rule's own name, part of its alerts' fingerprint",
    "Rule.kind": "what its alerts are called",
    "Rule.segment": "a segment as `name=value`, or all",
    "SimulateOptions.file": "the table",
    "SimulateOptions.columns": "see below",
    "SimulateOptions.pane_s": "length of a pane, seconds; 0: what holds about 500 rows",
    "SimulateOptions.partitions": "partitions of each topic",
    "SimulateOptions.bootstrap": "an existing Kafka; empty: a broker of its own",
    "SimulateOptions.kafka": "client settings for that Kafka",
    "Columns.target": "the label",
    "Columns.time": "event time; a column that is no timestamp gives order only",
    "Columns.label_time": "when the label became known",
    "Columns.exclude": "columns that are no features",
    "Columns.label_delay_s": "a fixed delay of every label, seconds, in place of `label_time`",
    "Summary.rows": "rows streamed: the table less the training tenth",
    "Summary.predictions": "PredictionMade on `predictions`, each id once",
    "Summary.labels": "LabelArrived on `labels`, each id once",
    "Summary.outcomes": "predictions joined with their label, without corrections",
    "Summary.panes": "panes evaluated",
    "Summary.refused": "records on `dlq`",
    "Summary.alerts": "every AlertRaised, in order of time",
    "Summary.retrains": "see Retrains",
    "Summary.score": "see Score",
    "Summary.verified": "see Verified",
    "Summary.views_match_topics": "the views hold as many events of each type as the topics",
    "Summary.seconds": "the whole run",
    "Summary.seal": "the line of the seal at the run's end, for `verify-chain --against`",
    "Summary.peak_pss_mb": "most memory of the stack and the driver, MiB of PSS",
    "AlertLine.id": "made of what the alert says: the same in every run",
    "AlertLine.kind": "see the rules of a configuration",
    "AlertLine.feature": "the feature, empty for none",
    "AlertLine.pane_start": "start of the pane that raised it",
    "AlertLine.severity": "minor, moderate or major",
    "Retrains.requested": "RetrainRequested: one a strategy",
    "Retrains.run": "runs that ended well",
    "Retrains.failed": "runs that failed",
    "Retrains.refused": "GateEvaluated that refused, scheduled challengers among them",
    "Retrains.promoted": "versions that replaced a champion",
    "Score.metric": "accuracy, or mae for a numeric target",
    "Score.first_model": "version 1 answering every row; scored beside the stream, never logged",
    "Score.operated": "what the loop answered",
    "Score.previous_label": "repeating the label before",
    "Verified.alerts": "alerts recomputed from the archive",
    "Verified.ok": "every one matched, and none is missing",
}  # fmt: skip


def words(kind: Any) -> str:
    """Return a type in words of a TOML file."""
    if get_origin(kind) is Annotated:
        return words(get_args(kind)[0])
    if kind in (str, int, float, bool):
        return {str: "text", int: "integer", float: "number", bool: "true or false"}[kind]
    if kind is Path:
        return "path"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return words(next(one for one in arguments if one is not types.NoneType))
    if origin is tuple:
        return f"list of {words(arguments[0])}"
    if origin is dict:
        return f"table of {words(arguments[1])}"
    return kind.__name__


def meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the meaning of each field that the docstring, or MEANINGS, gives."""
    found: dict[str, str] = {}
    names: list[str] = []
    own = set(struct.__struct_fields__)
    for line in (inspect.getdoc(struct) or "").splitlines()[1:]:
        entry = re.match(r"([a-z_]+(?:, [a-z_]+)*) +(\S.*)", line)
        if entry and own.issuperset(entry[1].split(", ")):
            names = entry[1].split(", ")
            found.update(dict.fromkeys(names, entry[2]))
        elif line.startswith(" ") and names:
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
        else:
            names = []
    known = {k.partition(".")[2]: m for k, m in MEANINGS.items() if _is_of(k, struct)}
    return {name: meaning for name, meaning in {**known, **found}.items() if name in own}


def _is_of(key: str, struct: type[msgspec.Struct]) -> bool:
    return key.partition(".")[0] == struct.__name__


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """Return a field's default as a TOML file would say it; empty for a required one."""
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "its defaults"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | dict):
        return f"`{list(value)}`".replace("'", '"') if value else "empty"
    return f"`{value}`"


def fields_table(struct: type[msgspec.Struct]) -> str:
    """Return key, type, default and meaning of each field."""
    found = meanings(struct)
    rows = [
        f"| `{field.name}` | {words(field.type)} | {default_of(field)} | {found[field.name]} |"
        for field in msgspec.structs.fields(struct)
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def first_line(struct: type[msgspec.Struct]) -> str:
    """Return what a struct is, in one sentence."""
    return (inspect.getdoc(struct) or "").splitlines()[0]


def sections(structs: tuple[type[msgspec.Struct], ...]) -> str:
    """Return a section a struct."""
    parts = [f"### {s.__name__}\n\n{first_line(s)}\n\n{fields_table(s)}" for s in structs]
    return "\n\n".join(parts)


def model_config() -> str:
    """Return the keys of a model's configuration."""
    return sections(CONFIG)


def settings() -> str:
    """Return a process's own settings."""
    return fields_table(Settings)


def simulate_options() -> str:
    """Return what a simulation is told."""
    return sections((SimulateOptions, Columns))


def simulate_summary() -> str:
    """Return the fields of a simulation's result."""
    parts = []
    for struct in SUMMARY:
        found = meanings(struct)
        rows = [f"| `{f}` | {found[f]} |" for f in struct.__struct_fields__]
        parts.append(
            f"### {struct.__name__}\n\n{first_line(struct)}\n\n"
            + "\n".join(["| field | meaning |", "|---|---|", *rows])
        )
    return "\n\n".join(parts)


def prometheus() -> str:
    """Return every metric's name, kind, unit, labels and meaning."""
    rows = [
        f"| `{entry.name}` | {entry.kind} | {entry.unit} "
        f"| {', '.join(f'`{label}`' for label in entry.labels) or '-'} | {entry.meaning} |"
        for entry in metrics.catalogue()
    ]
    head = ["| name | kind | unit | labels | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def simulate_defaults() -> str:
    """Return what a binary table of 45,312 rows is watched and retrained under."""
    rows = [Row(n, n * SECOND_US, {}, bool(n % 2), n * SECOND_US) for n in range(45_312)]
    table = Table(name="electricity", target="price_up", rows=rows, segments={})
    pane_s = pane_seconds(rows[training_rows(table) :])
    config = config_for(table, "electricity", "binary", pane_s=pane_s, trainer=TRAINER)
    lines = [f"{key} = {_toml(value)}" for key, value in _given(config.retrain)]
    lines += [f"gate.{key} = {_toml(value)}" for key, value in _given(config.gate)]
    for rule in config.rules:
        usual = Rule(name=rule.name, kind=rule.kind, metric=rule.metric)
        own = [(k, v) for k, v in _given(rule) if v != getattr(usual, k) and k not in RULE_WORDS]
        limits = ", ".join(f"{key} {_toml(value)}" for key, value in own)
        lines.append(f"rule {rule.name}: {rule.metric}" + (f", {limits}" if limits else ""))
    return "```text\n" + "\n".join(lines) + "\n```"


TRAINER = "hist_gradient_boosting"
RULE_WORDS = ("feature", "moderate", "major")


def _given(struct: msgspec.Struct) -> list[tuple[str, Any]]:
    return [(k, v) for k in struct.__struct_fields__ if (v := getattr(struct, k)) is not None]


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()
