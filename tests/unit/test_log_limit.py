"""A client that repeats itself is heard once in a while."""

from __future__ import annotations

import logging
from typing import Any

from streamops.hosts.log_limit import LogLimit


def test_a_log_of_an_outage_stays_short():
    now = [0.0]
    limit = LogLimit(10, lambda: now[0])

    def line(message: str, *args: Any) -> logging.LogRecord:
        return logging.LogRecord("aiokafka", logging.ERROR, "f", 1, message, args, None)

    assert limit.filter(line("node %s is away", 1))
    assert not limit.filter(line("node %s is away", 2))
    assert limit.filter(line("something else"))
    now[0] = 10.0
    again = line("node %s is away", 3)
    assert limit.filter(again)
    assert again.getMessage() == "node 3 is away (1 more like it since)"
