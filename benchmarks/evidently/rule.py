"""Evidently's default rule, from its library; `streamops bench detection` runs it.

python rule.py windows REFERENCE.parquet WINDOWS.parquet  windows are numbered by column `window`
python rule.py table REFERENCE.parquet CURRENT.parquet    two tables, once

Prints one line of JSON. An alarm is a column that DataDriftPreset, as it is, calls drifted.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def drifted(current: pd.DataFrame, reference: pd.DataFrame) -> int:
    """Count the columns that the preset calls drifted."""
    found = Report([DataDriftPreset()]).run(current, reference).dict()
    counts = [m for m in found["metrics"] if "DriftedColumnsCount" in str(m)]
    return round(counts[0]["value"]["count"])


def main(what: str, reference_file: str, current_file: str) -> None:
    """Judge all windows, or one table."""
    began_wall, began = time.perf_counter(), time.process_time()
    reference, current = pd.read_parquet(reference_file), pd.read_parquet(current_file)
    if what == "windows":
        frames = [frame.drop(columns="window") for _, frame in current.groupby("window")]
    else:
        frames = [current]
    alarms = [drifted(frame, reference) for frame in frames]
    print(
        json.dumps(
            {
                "windows": len(alarms),
                "alarms": sum(alarms),
                "windows_with_alarm": sum(1 for count in alarms if count),
                "cpu_s": time.process_time() - began,
                "wall_s": time.perf_counter() - began_wall,
                "version": version("evidently"),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
