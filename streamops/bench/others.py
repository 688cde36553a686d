"""Lines 1 and 6 beside other tools: windows without drift, and two large tables."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streamops.bench import tools
from streamops.bench.figures import Figures
from streamops.bench.null import SHARES
from streamops.bench.streams import NAMES, Random

REFERENCE, WINDOW = 10_000, 500
NUMBERS, WORDS = 20, 10
TABLE_ROWS, TABLE_COLUMNS = 300_000, 100


def table(rng: Random, rows: int, numbers: int = NUMBERS, words: int = WORDS) -> pa.Table:
    """Return columns of independent rows: normal numbers, and words of six values."""
    columns = {f"n{k}": rng.standard_normal(rows) for k in range(numbers)}
    letters = np.array(list(NAMES[: len(SHARES)]))
    columns |= {f"c{k}": letters[rng.choice(len(SHARES), rows, p=SHARES)] for k in range(words)}
    return pa.table(columns)


def windows(name: str, count: int, seed: int, folder: str) -> Figures:
    """Alarms of a tool's default rule, no drift; a reference of 10,000, windows of 500 rows."""
    rng = np.random.default_rng((seed, 11))
    with TemporaryDirectory() as place:
        reference, current = Path(place, "reference.parquet"), Path(place, "windows.parquet")
        pq.write_table(table(rng, REFERENCE), reference)
        numbered = pa.array(np.repeat(np.arange(count), WINDOW))
        live = table(rng, WINDOW * count).append_column("window", numbered)
        pq.write_table(live, current)
        found = tools.ask(Path(folder), name, "windows", reference, current)
    return {
        "windows": found.windows,
        "alarms": found.alarms,
        "per_1000_windows": found.alarms * 1000 / found.windows,
        "windows_with_alarm": found.windows_with_alarm / found.windows,
        "cpu_ms_a_window": found.cpu_s * 1000 / found.windows,
    }


def tables(
    who: str, seed: int, folder: str, rows: int = TABLE_ROWS, columns: int = TABLE_COLUMNS
) -> Figures:
    """What comparing two tables takes: `ours`, or a tool; a fifth of the columns are words."""
    rng = np.random.default_rng((seed, 12))
    words = columns // 5
    with TemporaryDirectory() as place:
        reference, current = Path(place, "reference.parquet"), Path(place, "current.parquet")
        for file in (reference, current):
            pq.write_table(table(rng, rows, columns - words, words), file)
        if who == "ours":
            found = tools.ask_ours(reference, current)
        else:
            found = tools.ask(Path(folder), who, "table", reference, current)
    return {"cpu_s": found.cpu_s, "wall_s": found.wall_s, "drifted": found.alarms}
