"""Lines 1, 3 and 4 on real columns: rows drawn at random, blocks in a random order, the true order.

The first two have no drift by construction; the third is what it is, and each alarm is listed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamops.bench.figures import FEATURES, PANES_A_MONTH, Figures, rate
from streamops.bench.shipped import Shipped
from streamops.bench.streams import Column, Floats, Live, Random, measured, panes_of
from streamops.core.pane_rows import numeric_bins, other_bins
from streamops.errors import ConfigError
from streamops.operate.rows import values_of
from streamops.operate.table import read_frame
from streamops.values import FeatureProfile

FOLDER = Path("replay/data")
# Row of electricity's documented change: three columns come alive.
CHANGE = 17_424
LEFT_OUT = frozenset({"event_time", "label_time", "date", "tail_number", "flight"})
TABLES = ("electricity", "weather", "flights", "sea")
POPULATION = 20_000


class Blocks(NamedTuple):
    """How a table is cut: rows from `first` on, panes of `rows`, which are the blocks shuffled."""

    table: str
    first: int
    rows: int
    reference: int


BLOCKS = {
    "electricity_weeks": Blocks("electricity", CHANGE, 336, 50),
    "weather_years": Blocks("weather", 0, 365, 25),
}
# Panes in the true order; a month has 30. References: a tenth of the table, and half a year.
ORDERS = {
    "electricity_tenth": Blocks("electricity", 0, 48, 94),
    "electricity_half_year": Blocks("electricity", 0, 48, 182),
    "weather_tenth": Blocks("weather", 0, 30, 60),
}
DAYS_A_MONTH = 30


def check(folder: Path) -> None:
    """Raise ConfigError if a table isn't there."""
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").is_file()]
    if missing:
        raise ConfigError(
            f"{folder} lacks {', '.join(f'{n}.parquet' for n in missing)}: name the folder of the "
            "recorded tables (replay/data of the checkout) with --data"
        )


@lru_cache(maxsize=8)
def _table(folder: str, name: str) -> dict[str, list[Any]]:
    """Return a table's columns as a service reads them, without times and keys."""
    frame = read_frame(Path(folder, f"{name}.parquet"))
    return {n: values_of(frame, n) for n in frame.column_names if n not in LEFT_OUT}


def _bins(profile: FeatureProfile, values: list[Any]) -> Any:
    if profile.kind == "numeric":
        return numeric_bins(profile, _floats(values))
    return other_bins(profile, values)


def _floats(values: list[Any]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _profile(name: str, values: list[Any]) -> FeatureProfile:
    is_text = any(isinstance(v, str) for v in values)
    return measured(name, values if is_text else _floats(values), "word" if is_text else "numeric")


def random_rows(
    rows: int, window: int, months: int, budget: float, seed: int, folder: str
) -> Figures:
    """False alarms where rows of real columns are drawn at random; a model has all tables' columns.

    Up to POPULATION rows of each table stand for it. Each month has a reference of its own.
    """
    rng = np.random.default_rng((seed, rows, window))
    found = [_drawn(rng, name, rows, folder) for name in TABLES for _ in range(months)]
    columns = [column for some in found for column in some]
    shipped, live = Shipped(c.profile for c in columns), Live(columns)
    limit = 2 * len(columns) / months * PANES_A_MONTH / budget
    events = sum(len(shipped.step(live.pane(rng, window), limit)) for _ in range(PANES_A_MONTH))
    return {**rate(events, months), "columns": len(columns) / months}


def _drawn(rng: Random, name: str, rows: int, folder: str) -> list[Column]:
    found, table = [], _table(folder, name)
    first = CHANGE if name == "electricity" else 0
    whole = len(next(iter(table.values()))) - first
    rows_of = first + rng.choice(whole, min(POPULATION, whole), replace=False)
    chosen = rng.choice(rows_of, rows)
    for column, values in table.items():
        number = f"{rng.integers(1 << 60)}/{column}"
        profile = _profile(number, [values[at] for at in chosen])
        bins = _bins(profile, [values[at] for at in rows_of])
        counts = np.bincount(bins, minlength=len(profile.counts))
        found.append(Column(profile, counts / counts.sum()))
    return found


def shuffled_blocks(what: str, times: int, seed: int, folder: str) -> Figures:
    """False alarms with weeks (years) of a table in a random order, so often.

    A pane is a block. Its rate is by model-month, so many feature-panes as 30 features x 720 are.
    """
    blocks, events, seen = BLOCKS[what], 0, 0
    rng = np.random.default_rng((seed, blocks.rows))
    table = {k: v[blocks.first :] for k, v in _table(folder, blocks.table).items()}
    count = len(next(iter(table.values()))) // blocks.rows
    for _ in range(times):
        order = rng.permutation(count)
        rows = (order[:, np.newaxis] * blocks.rows + np.arange(blocks.rows)).ravel().tolist()
        shuffled = {name: [values[at] for at in rows] for name, values in table.items()}
        alarms, panes = _played(shuffled, blocks, 2 * FEATURES * PANES_A_MONTH)
        events += len(alarms)
        seen += panes * len(table)
    return rate(events, seen / (FEATURES * PANES_A_MONTH))


def true_order(what: str, folder: str) -> dict[str, Any]:
    """Alerts of a table played in its own order, each with what it says, and their rate.

    outside  alerts a month that don't begin in the two panes in which electricity changes
    found    streams that alarm in those two panes
    """
    blocks = ORDERS[what]
    table = {k: v[blocks.first :] for k, v in _table(folder, blocks.table).items()}
    alarms, panes = _played(table, blocks, 2.0 * len(table) * DAYS_A_MONTH)
    changes = range(CHANGE // blocks.rows, CHANGE // blocks.rows + 2)
    alerts = _alerts(alarms)
    at_change = [a for a in alerts if blocks.table == "electricity" and a["pane"] in changes]
    months = panes / DAYS_A_MONTH
    return {
        "outside": len(alerts) - len(at_change),
        "months": months,
        "outside_a_month": (len(alerts) - len(at_change)) / months,
        "found": len(at_change),
        "alarms": len(alarms),
        "alerts": alerts,
    }


def _alerts(alarms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alarms that begin an alert: one more of its stream within twice its age is the same alert."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    found = []
    for alarm in alarms:
        key = alarm["feature"], alarm["stream"]
        before = last.get(key)
        if before is None or alarm["pane"] - before["pane"] > 2 * before["panes_back"]:
            found.append(alarm)
        last[key] = alarm
    return found


def _played(
    table: dict[str, list[Any]], blocks: Blocks, alarm_at: float
) -> tuple[list[dict[str, Any]], int]:
    """Alarms of live panes behind the reference, and how many panes were live."""
    cut = blocks.reference * blocks.rows
    profiles = [_profile(name, values[:cut]) for name, values in table.items()]
    shipped = Shipped(profiles, pane_us=blocks.rows)
    bins = [_bins(p, table[p.name][cut:]) for p in profiles]
    found, pane = [], blocks.reference
    for counts in panes_of(bins, shipped.widths, blocks.rows):
        found += [
            {
                "pane": pane,
                "row": blocks.first + pane * blocks.rows,
                "feature": a.feature,
                "stream": a.stream,
                "test": a.test,
                "direction": a.direction,
                "panes_back": a.age,
                "psi_least": a.psi_least,
                "mean_sd": _gap(table[a.feature], cut, pane, blocks.rows),
            }
            for a in shipped.step(counts, alarm_at)
        ]
        pane += 1
    return found, pane - blocks.reference


def _gap(values: list[Any], cut: int, pane: int, rows: int) -> float | None:
    """How far a pane's mean is off the reference's, in sd of its rows; None for words."""
    if any(isinstance(v, str) for v in values[:cut]):
        return None
    known, here = _floats(values[:cut]), _floats(values[pane * rows : (pane + 1) * rows])
    # A constant's standard deviation is rounding, not 0.
    if np.nanmin(known) == np.nanmax(known):
        return None
    return (float(np.nanmean(here)) - float(np.nanmean(known))) / float(np.nanstd(known))
