"""numeric: accuracy against libm and scipy, equal bits on other SIMD paths, bans kept in core."""

from __future__ import annotations

import ast
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from streamops.core import numeric

CORE = Path(numeric.__file__).parent
SUBNORMAL_MIN = 5e-324


def spread(seed: int, low: float, high: float, size: int = 20_000) -> numeric.Floats:
    return np.random.default_rng(seed).uniform(low, high, size)


def ulps(found: numeric.Floats, expected: numeric.Floats) -> float:
    return float(np.max(np.abs(found - expected) / np.spacing(np.abs(expected))))


# Accuracy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(np.exp(spread(1, -740.0, 700.0)), id="whole range, subnormals included"),
        pytest.param(spread(2, 0.5, 2.0), id="near one"),
        pytest.param(1.0 + spread(3, 1e-9, 1e-6), id="just above one"),
    ],
)
def test_log_is_within_one_ulp(x):
    assert ulps(numeric.log(x), np.array([math.log(value) for value in x])) <= 1.0


def test_log_of_landmarks():
    assert numeric.log_scalar(1.0) == 0.0
    assert numeric.log_scalar(2.0) == numeric.LN_2 == math.log(2.0)
    assert numeric.log_scalar(SUBNORMAL_MIN) == math.log(SUBNORMAL_MIN)
    assert numeric.log_scalar(sys.float_info.max) == math.log(sys.float_info.max)


@pytest.mark.parametrize("x", [0.0, -1.0, math.inf, math.nan])
def test_log_outside_its_domain_is_our_fault(x):
    with pytest.raises(AssertionError, match="positive and finite"):
        numeric.log_scalar(x)
    with pytest.raises(AssertionError, match="positive and finite"):
        numeric.log(np.array([1.0, x]))


@pytest.mark.parametrize(
    "x", [spread(4, -708.0, 709.7), spread(5, -745.0, -708.0), spread(6, -1e-5, 1e-5)]
)
def test_exp_is_within_one_ulp(x):
    assert ulps(numeric.exp(x), np.array([math.exp(value) for value in x])) <= 1.0


def test_a_value_has_its_bits_whatever_stands_beside_it():
    """One factor where no power leaves the normal numbers, two elsewhere."""
    x = np.concatenate([spread(12, -708.0, 708.0, 500), [-708.0, 708.0]])
    beside = numeric.exp(np.append(x, [-745.0, 709.5]))
    assert numeric.exp(x).tolist() == beside[:-2].tolist()


def test_exp_at_its_bounds():
    x = np.array([0.0, 709.782712893384, 709.79, math.inf, -745.13, -745.14, -math.inf])
    found = numeric.exp(x).tolist()
    assert found == [numeric.exp_scalar(value) for value in x.tolist()]
    assert found[0] == 1.0
    assert 1.79e308 < found[1] < math.inf
    assert found[2:] == [math.inf, math.inf, SUBNORMAL_MIN, 0.0, 0.0]
    with pytest.raises(AssertionError, match="NaN"):
        numeric.exp_scalar(math.nan)
    with pytest.raises(AssertionError, match="NaN"):
        numeric.exp(np.array([math.nan]))


@pytest.mark.parametrize(
    "x",
    [
        spread(7, 1e-3, 30.0),
        np.exp(spread(8, -700.0, 600.0)),
        np.arange(1.0, 2000.0),
        np.array([7.999999999999999, 8.0]),
    ],
)
def test_lgamma_error_is_as_stated(x):
    expected = np.array([math.lgamma(value) for value in x])
    limit = 2e-14 + 4.0 * np.spacing(np.abs(expected))
    assert np.all(np.abs(numeric.lgamma(x) - expected) <= limit)


@pytest.mark.parametrize("df", [1, 2, 3, 9, 19, 50, 255])
def test_chi2_tail_against_scipy(df):
    for statistic in np.linspace(0.0, 4.0 * df + 60.0, 101).tolist():
        expected = float(special.chdtrc(df, statistic))
        assert numeric.chi2_sf(statistic, df) == pytest.approx(expected, rel=1e-11)


def test_chi2_tail_has_textbook_quantiles_and_ends():
    assert numeric.chi2_sf(3.841458820694124, 1) == pytest.approx(0.05, rel=1e-12)
    assert numeric.chi2_sf(1.959963984540054 * 1.959963984540054, 1) == pytest.approx(
        2.0 * float(stats.norm.sf(1.959963984540054)), rel=1e-12
    )
    assert numeric.chi2_sf(0.0, 5) == 1.0
    assert numeric.chi2_sf(1e7, 5) == 0.0
    assert numeric.gamma_q(1.0, 3.0) == pytest.approx(math.exp(-3.0), rel=1e-13)


@pytest.mark.parametrize(("a", "x"), [(0.0, 1.0), (1.0, -1.0), (1.0, math.inf), (1.0, math.nan)])
def test_gamma_q_outside_its_domain_is_our_fault(a, x):
    with pytest.raises(AssertionError, match="must be"):
        numeric.gamma_q(a, x)


# Sums and fixed point ---------------------------------------------------------------------------


def test_a_sum_goes_from_first_to_last():
    values = [1e16, 1.0, -1e16, 1.0]
    assert numeric.ordered_sum(np.array(values)) == 1.0
    assert numeric.ordered_sum(np.array(values[::-1])) == 0.0
    assert numeric.ordered_sum(np.array([])) == 0.0
    many = spread(9, -1.0, 1.0)
    total = 0.0
    for value in many.tolist():
        total += value
    assert numeric.ordered_sum(many) == total


@pytest.mark.parametrize(
    ("x", "quantum", "expected"),
    [
        (0.5, 1.0, 0),
        (1.5, 1.0, 2),
        (2.5, 1.0, 2),
        (-0.5, 1.0, 0),
        (-1.5, 1.0, -2),
        (0.375, 0.25, 2),
        (99.4, 1.0, 99),
        (100.0, 1.0, 100),
        (100.6, 1.0, 100),
        (-1e300, 1e-300, -100),
        (math.inf, 1.0, 100),
        (-math.inf, 1.0, -100),
        (SUBNORMAL_MIN, 0.25, 0),
    ],
)
def test_fixed_point_rounds_half_to_even_and_clamps(x, quantum, expected):
    one = numeric.to_fixed(x, quantum, 100)
    assert one == expected
    assert isinstance(one, int)
    many = numeric.to_fixed(np.array([x]), quantum, 100)
    assert many.dtype == np.int64
    assert many.tolist() == [expected]


def test_fixed_point_is_exact_for_a_power_of_two():
    quantum = float.fromhex("0x1p-20")
    for x in spread(10, -1e6, 1e6, 500).tolist():
        exact = round(Fraction(x) / Fraction(quantum))
        assert numeric.to_fixed(x, quantum, numeric.FIXED_LIMIT_MAX) == exact


@pytest.mark.parametrize(
    ("x", "quantum", "limit", "message"),
    [
        (math.nan, 1.0, 1, "NaN"),
        (1.0, 0.0, 1, "quantum"),
        (1.0, 1.0, 0, "limit"),
        (1.0, 1.0, (1 << 53) + 1, "limit"),
    ],
)
def test_fixed_point_refuses_what_has_no_meaning(x, quantum, limit, message):
    for form in (x, np.array([x])):
        with pytest.raises(AssertionError, match=message):
            numeric.to_fixed(form, quantum, limit)


# Bits -------------------------------------------------------------------------------------------

BITS = """
import hashlib
import numpy as np
from streamops.core import numeric
numeric.self_test()
bits = np.random.Generator(np.random.PCG64(1)).integers(1, 0x7FF0000000000000, 100_000)
x = bits.view(np.float64)
e = np.linspace(-745.0, 709.0, 100_000)
parts = [numeric.log(x), numeric.exp(e), numeric.lgamma(np.linspace(0.01, 99.0, 50_000))]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


def bits_with(features: str) -> str:
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features}
    command = [sys.executable, "-W", "ignore", "-c", BITS]
    run = subprocess.run(
        command, env=env, cwd=CORE.parents[1], capture_output=True, text=True, check=True
    )
    return run.stdout


def test_bits_are_equal_on_other_simd_paths():
    """A CPU without these features takes NumPy's other loops; NumPy ignores unknown names."""
    everything = bits_with("")
    assert len(everything.strip()) == 64
    assert bits_with("AVX512_ICL X86_V4") == everything
    assert bits_with("AVX512_ICL X86_V4 X86_V3") == everything


def test_self_test_knows_this_machine():
    numeric.self_test()


def test_self_test_fails_on_flushed_subnormals(monkeypatch):
    """Flush-to-zero, as a process gets it from a library built with -ffast-math."""
    honest = numeric.log

    def flushing(x):
        return honest(np.maximum(x, sys.float_info.min))

    monkeypatch.setattr(numeric, "log", flushing)
    with pytest.raises(AssertionError, match="differs on this machine"):
        numeric.self_test()


def test_known_bits():
    """The literal bits, so that a change of a constant can't hide behind a new fingerprint."""
    found = [
        numeric.log_scalar(0.1),
        numeric.log_scalar(SUBNORMAL_MIN),
        numeric.exp_scalar(-1.0),
        numeric.lgamma_scalar(0.5),
        numeric.chi2_sf(10.0, 9),
    ]
    assert [value.hex() for value in found] == [
        "-0x1.26bb1bbb55515p+1",
        "-0x1.74385446d71c3p+9",
        "0x1.78b56362cef38p-2",
        "0x1.250d048e7a1b0p-1",
        "0x1.66e59872a4502p-2",
    ]


# What core may not call -------------------------------------------------------------------------

MATH_ALLOWED = {"frexp", "ldexp", "isfinite", "isnan", "isinf", "sqrt", "floor", "ceil", "trunc"}
MATH_ALLOWED |= {"inf", "nan", "copysign", "gcd", "isqrt", "nextafter", "ulp"}
REDUCTIONS = {"sum", "mean", "std", "var", "prod", "dot", "average", "nansum", "nanmean", "cumprod"}
REDUCTIONS |= {
    "inner",
    "vdot",
    "matmul",
    "einsum",
    "tensordot",
    "trapezoid",
    "median",
    "percentile",
}
REDUCTIONS |= {"quantile", "convolve", "correlate", "cov", "corrcoef", "linalg", "interp", "cumsum"}
LIBM = {
    "log",
    "log2",
    "log10",
    "log1p",
    "exp",
    "exp2",
    "expm1",
    "power",
    "float_power",
    "logaddexp",
}
LIBM |= {
    "pow",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "arctan",
    "hypot",
    "cbrt",
    "logaddexp2",
}
# Built-in sums whose terms are integers, which are exact in any order.
INTEGER_SUMS = {"profile.py", "buffer.py", "rows.py", "output_rows.py"}


def banned(source: str, *, integer_sums: bool = False) -> list[str]:
    """What EPOCHS 26 bans, as "line: text", in order."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.BinOp(op=ast.Pow() | ast.MatMult()) | ast.AugAssign(op=ast.Pow()):
                found.append(node)
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in MATH_ALLOWED:
                found.append(node)
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in REDUCTIONS | LIBM:
                found.append(node)
            case ast.Call(func=ast.Attribute(attr=name)) if name in REDUCTIONS:
                found.append(node)
            case ast.Call(func=ast.Name(id="pow")):
                found.append(node)
            case ast.Call(func=ast.Name(id="sum")) if not integer_sums:
                found.append(node)
            case ast.Call(keywords=keywords) if any(k.arg == "weights" for k in keywords):
                found.append(node)
            case ast.ImportFrom(module="math" | "numpy.linalg"):
                found.append(node)
    return [f"{node.lineno}: {ast.unparse(node)}" for node in found]


@pytest.mark.parametrize(
    "line",
    [
        "x ** 2",
        "x **= 2",
        "a @ b",
        "math.log(x)",
        "math.fsum(x)",
        "np.log(x)",
        "np.sum(x)",
        "x.sum()",
        "x.mean(axis=0)",
        "sum(x)",
        "pow(x, 2)",
        "np.bincount(i, weights=x)",
        "from math import log",
    ],
)
def test_the_ban_sees(line):
    assert banned(line)


@pytest.mark.parametrize(
    "line", ["numeric.log(x)", "np.add.accumulate(x)", "np.bincount(i)", "math.sqrt(x)", "1 << 53"]
)
def test_the_ban_lets_pass(line):
    assert banned(line) == []


def test_core_calls_nothing_whose_bits_depend_on_the_machine():
    """EPOCHS 26. Use numeric.log, exp, ordered_sum; for integers np.add.reduce or a loop."""
    found = {
        path.name: calls
        for path in sorted(CORE.glob("*.py"))
        if (calls := banned(path.read_text(), integer_sums=path.name in INTEGER_SUMS))
    }
    assert found == {}


def test_modules_of_numbers_stay_short():
    for name in ("numeric", "statistics", "performance", "quality"):
        assert len((CORE / f"{name}.py").read_text().splitlines()) < 250
