"""python -m benchmarks.detection [--quick] [--seed N] [PART ...]

Parts: cost, power, null, correlated, errors, sea, service (all without a name). Figures of each
part go to build/detection/PART.json; build/bench-detection.json has what all parts measured so far
amount to.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.detection import correlated, cost, errors, null, power, sea, service
from benchmarks.detection.monitor import PANES, SHORT
from streamops.core import alternatives, bf_sr, dependence, esr, scores, sr_mixture, starts, tsr
from streamops.core.drift_plan import LAG_FREE
from streamops.core.t_factors import EFFECTS, THICK

FOLDER = Path("build/detection")
RESULT = Path("build/bench-detection.json")
# Reference rows, window rows, months at a budget of 1 and of 0.1; then the quick run's.
CELLS = (
    (10_000, 200),
    (10_000, 1_000),
    (10_000, 5_000),
    (1_000, 200),
    (1_000, 1_000),
    (1_000, 5_000),
)
MONTHS, MONTHS_QUICK = (12, 32), (2, 1)
TENTH = ((10_000, 1_000), (1_000, 1_000))
RHOS = (0.0, 0.1, 0.3, 0.6, 0.9)
DELAYS = ((0.0, 200), (0.3, 200), (0.6, 200), (0.9, 1_000))
Figures = dict[str, Any]
Figure = tuple[str, Any]


def cost_part(quick: bool, seed: int) -> Iterator[Figure]:
    """CPU times."""
    yield from cost.measure(seed).items()


def power_part(quick: bool, seed: int) -> Iterator[Figure]:
    """Delays on independent rows."""
    yield "repetitions", 2000
    yield from power.measure(2000, seed).items()


def null_part(quick: bool, seed: int) -> Iterator[Figure]:
    """False alarms on independent rows, by the default, t-SR alone, and naive rules."""
    one, tenth = MONTHS_QUICK if quick else MONTHS
    for rows, window in CELLS:
        yield f"{rows}x{window}", null.default(rows, window, one, 1.0, seed)
    for window in (200, 1_000):
        yield f"naive_10000x{window}", null.naive(10_000, window, 1440, seed)
    for rows, window in TENTH:
        yield f"{rows}x{window}_budget_01", null.default(rows, window, tenth, 0.1, seed)
    yield "tsr_10000x200", null.panes(10_000, 200, 2 * one, 1.0, seed)
    yield "tsr_10000x200_budget_01", null.panes(10_000, 200, 2 * tenth, 0.1, seed)


def correlated_part(quick: bool, seed: int) -> Iterator[Figure]:
    """False alarms and delays on AR(1) rows."""
    months, features = (2, 120) if quick else (20, 200)
    for rho in RHOS:
        yield f"rho_{rho}_n_200", correlated.default_months(rho, 200, months, seed)
    for rho, rows in DELAYS:
        for shift, clean in ((0.25, 0), (0.25, 30), (0.5, 30)):
            name = f"delay_rho_{rho}_n_{rows}_shift_{shift}_clean_{clean}"
            yield name, correlated.delay(rho, rows, shift, features, 60, seed, clean)
    if not quick:
        yield "rho_0.9_n_1000", correlated.default_months(0.9, 1_000, 10, seed)


def errors_part(quick: bool, seed: int) -> Iterator[Figure]:
    """False alarms and delays on error streams."""
    streams, runs = (5, 60) if quick else (40, 200)
    for name, test in errors.TESTS.items():
        for rate in (0.05, 0.2, 0.3):
            yield f"{name}_{rate}", errors.false_alarms(test, rate, 0.0, streams, seed)
        yield f"{name}_markov_0.5", errors.false_alarms(test, 0.2, 0.5, streams, seed)
        for before, after in ((0.2, 0.3), (0.1, 0.3), (0.2, 0.25)):
            yield f"{name}_{before}_{after}", errors.delays(test, before, after, runs, seed)


def sea_part(quick: bool, seed: int) -> Iterator[Figure]:
    """SEA, twenty seeds."""
    yield from sea.measure(range(seed, seed + 20)).items()


def service_part(quick: bool, seed: int) -> Iterator[Figure]:
    """False alarms and delays of what MONITOR runs, on AR(1) rows."""
    count, models = (2, 1) if quick else (20, 4)
    for reference, window in ((10_000, 1_000), (4_000, 500), (10_000, 100)):
        for rho in (0.0, 0.3, 0.6, 0.9):
            name = f"rho_{rho}_{reference}x{window}"
            yield name, service.months(rho, reference, window, count, seed)
            for shift in (0.25, 0.5):
                found = service.delay(rho, reference, window, shift, models, seed)
                yield f"{name}_shift_{shift}", found


PARTS: dict[str, Callable[[bool, int], Iterator[Figure]]] = {
    "cost": cost_part,
    "power": power_part,
    "null": null_part,
    "correlated": correlated_part,
    "errors": errors_part,
    "sea": sea_part,
    "service": service_part,
}


def config_hash() -> str:
    """SHA-256 of every constant of the default that is measured."""
    constants = [
        *(
            THICK,
            LAG_FREE,
            tsr.WEIGHTS,
            EFFECTS,
            scores.REFERENCE_PANES_MIN,
            scores.PANE_ROWS_MIN,
            starts.AGE_MAX,
        ),
        *(
            alternatives.CONCENTRATIONS,
            alternatives.TILTS,
            alternatives.LIFTS,
            alternatives.LIFT_WEIGHTS,
            esr.SHARP,
        ),
        *(
            dependence.SURE,
            PANES,
            SHORT,
            sr_mixture.RISES,
            bf_sr.RISES,
            bf_sr.SHARP,
            errors.ALARM_AT,
        ),
    ]
    return hashlib.sha256(json.dumps(constants).encode()).hexdigest()


def result(parts: dict[str, Figures]) -> Figures:
    """The fields of the result that the parts at hand can fill, each measured."""
    found: Figures = {"config_hash": config_hash()}
    if "null" in parts:
        found["data_drift"] = _data_drift(parts["null"])
    if "power" in parts:
        p = parts["power"]
        found["power"] = {
            "mean_025_pane1": p["mean_025"]["within_1"],
            "spread_15_pane1": p["spread_15_variance"]["within_1"],
            "missing_1_3_pane2": p["missing_1_3"]["within_2"],
            "category_5_8_pane3": p["category_5_8"]["within_3"],
            "mean_01_median_panes": p["mean_01"]["median_rows"] / power.WINDOW,
        }
    if "correlated" in parts:
        found["correlated"] = _correlated(parts["correlated"])
    if "errors" in parts:
        e = parts["errors"]
        false = [e[f"sr_mixture_{rate}"]["per_100k"] for rate in (0.05, 0.2, 0.3)]
        found["error_stream"] = {
            "false_alarms_per_100k": max(false),
            "delay_20_30": e["sr_mixture_0.2_0.3"]["median"],
            "delay_10_30": e["sr_mixture_0.1_0.3"]["median"],
            "markov_false_alarms_per_100k": e["sr_mixture_markov_0.5"]["per_100k"],
        }
    if "sea" in parts:
        names = ("changes", "found_within_700", "false", "seeds")
        found["sea"] = {name: parts["sea"][name] for name in names}
    if "cost" in parts:
        c = parts["cost"]
        found["cost_us"] = {
            "feature_pane": max(v for k, v in c.items() if k.startswith("feature_pane")),
            "outcome": max(v for k, v in c.items() if k.startswith("outcome")),
        }
    return found


def _data_drift(n: Figures) -> Figures:
    """The worst cell of the default, each with its own bound."""
    ones = [n[f"{rows}x{window}"] for rows, window in CELLS]
    tenths = [v for k, v in n.items() if k.endswith("_budget_01") and not k.startswith("tsr")]
    worst = max(ones, key=lambda cell: cell["rate"])
    return {
        "false_alarms_per_model_month": worst["rate"],
        "upper95": max(cell["upper95"] for cell in ones),
        "upper95_at_budget_01": max(cell["upper95"] for cell in tenths),
        "model_months": sum(cell["months"] for cell in ones),
    }


def _correlated(c: Figures) -> Figures:
    rates = {k: v["rate"] for k, v in c.items() if k.startswith("rho_")}
    worst = max(rates, key=lambda name: rates[name])
    rho = worst.split("_")[1]
    delays = [
        v["median_rows"] for k, v in c.items() if k.startswith("delay_rho_0.9") and "0.25" in k
    ]
    return {
        "rho": float(rho),
        "false_alarms_per_model_month": rates[worst],
        "mean_025_rows": max(delays),
    }


def main(arguments: list[str]) -> None:
    """Measure the parts asked for, and print what all of them amount to."""
    quick = "--quick" in arguments
    seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else 1
    names = [name for name in PARTS if name in arguments] or list(PARTS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        began = time.process_time()
        figures: Figures = {"seed": seed, "quick": quick}
        for key, found in PARTS[name](quick, seed):
            figures |= {key: found, "cpu_s": time.process_time() - began}
            (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=1))
    files = {name: FOLDER / f"{name}.json" for name in PARTS}
    parts = {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}
    RESULT.write_text(json.dumps(result(parts), indent=1))
    print(RESULT.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
