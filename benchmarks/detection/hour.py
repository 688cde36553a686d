"""An hour of many models: CPU seconds of the drift tests of one closed pane of each.

python -m benchmarks.detection.hour [MODELS]

Models of 30 features as in the bench's line 6, of eight kinds, a pane an hour each; the least of
five hours. What MONITOR does besides (distances, rates) is not in it.
"""

from __future__ import annotations

import json
import sys

from streamops.bench.cost import SERVICE_PANES, UNLIKE, Service, independent
from streamops.bench.figures import FEATURES

MODELS = 1000


def measure(models: int) -> dict[str, float]:
    """Return seconds of CPU an hour, and the share of one core that is idle."""
    kinds = [independent(1, number, SERVICE_PANES) for number in range(UNLIKE)]
    service = Service([kinds[number % UNLIKE] for number in range(models)])
    seconds = service.cost(1) * models * FEATURES / 1e6
    return {"models": models, "cpu_s_an_hour": round(seconds, 2), "idle": 1 - seconds / 3600}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else MODELS)))
