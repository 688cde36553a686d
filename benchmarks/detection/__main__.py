"""python -m benchmarks.detection: `streamops bench detection` from a checkout, real tables too."""

from __future__ import annotations

import sys

from streamops.cli import main

sys.exit(main(["bench", "detection", "--tables", "replay/data", *sys.argv[1:]]))
