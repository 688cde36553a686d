"""The golden log: raw topics recorded once, and what this version concludes from them.

    python -m tests.replay.golden            writes replay/golden/expected anew from the log
    python -m tests.replay.golden --record   records the story again, too

A change here is a change of meaning: it needs a new `semantics` of the processor behind it
(DESIGN rule 11), or, before a release, a word in the commit that brings it.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from streamops import codec
from streamops.audit.namespace import namespace_of
from streamops.audit.replay import replay
from streamops.views.archive import ArchiveLog
from tests.story import archive, make_counting, play

GOLDEN = Path(__file__).parents[2] / "replay" / "golden"
EXPECTED = GOLDEN / "expected"
RAW = ("predictions", "labels", "lifecycle")
# Written out, to be read in a diff; of the others number and hash are enough.
SHOWN = ("alerts", "retraining", "deployments", "progress", "dlq")
HASHED = ("outcomes", "summaries", "metrics")


def expected() -> dict[str, bytes]:
    """What replaying the golden log gives: file name -> content."""
    files: dict[str, bytes] = {}
    found = replayed(GOLDEN)
    for topic in (*SHOWN, *HASHED):
        lines = found.get(topic, [])
        body = b"".join(line + b"\n" for line in lines)
        if topic in SHOWN:
            files[f"{topic}.ndjson"] = body
        else:
            digest = hashlib.sha256(body).hexdigest()
            files[f"{topic}.sha256"] = f"{len(lines)} conclusions {digest}\n".encode()
    return files


def replayed(folder: Path) -> dict[str, list[bytes]]:
    """Conclusions of an archive by topic, in a fixed order."""
    namespace = namespace_of(folder)
    outputs = replay(
        ArchiveLog(folder),
        partitions=namespace.partitions,
        skew_ms=namespace.skew_ms,
        make_detector=make_counting,
    )
    found: dict[str, list[bytes]] = {}
    for output in outputs:
        found.setdefault(output.topic, []).append(codec.conclusion(output.event))
    return {topic: sorted(lines) for topic, lines in found.items()}


def record() -> None:
    """Play the story and archive its raw topics."""
    host = play()
    host.log = {place: rows for place, rows in host.log.items() if place[0] in RAW}
    shutil.rmtree(GOLDEN / "raw", ignore_errors=True)
    archive(host, GOLDEN, rows=100_000)


if __name__ == "__main__":
    if "--record" in sys.argv:
        record()
    EXPECTED.mkdir(parents=True, exist_ok=True)
    for name, body in expected().items():
        (EXPECTED / name).write_bytes(body)
        print(f"wrote {name}", file=sys.stderr)
