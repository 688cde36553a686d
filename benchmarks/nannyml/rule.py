"""NannyML's default rule, from its library; `streamops bench detection` runs it.

python rule.py windows REFERENCE.parquet WINDOWS.parquet  windows are numbered by column `window`

Prints one line of JSON. An alarm is a column of a chunk that UnivariateDriftCalculator, with its
default methods (Jensen-Shannon) and thresholds (mean +- three standard deviations of the
reference's chunks), flags. Chunks are as long as windows.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import nannyml
import pandas as pd


def main(what: str, reference_file: str, current_file: str) -> None:
    """Judge all windows."""
    assert what == "windows", what
    began_wall, began = time.perf_counter(), time.process_time()
    reference, current = pd.read_parquet(reference_file), pd.read_parquet(current_file)
    rows = int((current["window"] == 0).sum())
    current = current.sort_values("window", kind="stable").drop(columns="window")
    names = list(reference.columns)
    calculator = nannyml.UnivariateDriftCalculator(column_names=names, chunk_size=rows)
    calculator.fit(reference)
    found = calculator.calculate(current).filter(period="analysis").to_df(multilevel=True)
    flags = found[[column for column in found.columns if column[-1] == "alert"]]
    by_window = flags.astype(bool).sum(axis=1)
    print(
        json.dumps(
            {
                "windows": len(by_window),
                "alarms": int(by_window.sum()),
                "windows_with_alarm": int((by_window > 0).sum()),
                "cpu_s": time.process_time() - began,
                "wall_s": time.perf_counter() - began_wall,
                "version": version("nannyml"),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
