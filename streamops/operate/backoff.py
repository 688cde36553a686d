"""When a child that ended is started again: a pure decision, so that a test needs no clock.

Rule 1: exit status 2 is the operator's (ConfigError): starting again can't help, so it isn't tried.
Rule 2: anything else is started again after a delay that doubles from FIRST_S to LONGEST_S.
Rule 3: who ran for HEALTHY_S begins at the first delay again.
"""

from __future__ import annotations

import msgspec

from streamops.errors import EXIT_CONFIG

FIRST_S = 0.2
LONGEST_S = 10.0
HEALTHY_S = 30.0


class Verdict(msgspec.Struct, frozen=True):
    """What to do with a child that ended.

    delay_s   seconds until it is started again; None: never
    failures  ends in a row that came before HEALTHY_S, this one included
    """

    delay_s: float | None
    failures: int


def judge(exit_code: int, ran_s: float, failures: int) -> Verdict:
    """Decide about a child that ran for `ran_s` seconds after `failures` early ends in a row.

    exit_code  its status; negative for the signal that killed it
    """
    if exit_code == EXIT_CONFIG:
        return Verdict(None, failures + 1)
    early = 1 if ran_s >= HEALTHY_S else failures + 1
    doublings = min(early - 1, 16)
    return Verdict(min(FIRST_S * 2**doublings, LONGEST_S), early)
