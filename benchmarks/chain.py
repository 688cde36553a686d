"""What sealing costs the archiver, and how fast a chain is checked: `python -m benchmarks.chain`.

    python -m benchmarks.chain [RECORDS]

The archiver's own work on records that are in memory: raw and typed files written, then the same
with the sealer beside it. Reading from Kafka isn't in it, so in service the ratio is nearer to 1.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamops import codec
from streamops.audit.record_chain import verify_chain
from streamops.core.merkle import merkle_root
from streamops.core.times import SECOND_US, moment
from streamops.events import PredictionMade
from streamops.views.archive import ArchiveLog, cover_of, write_raw
from streamops.views.log import Partition, RawRecord
from streamops.views.record_hash import leaf_hashes
from streamops.views.seal import SEGMENT_RECORDS, Sealer
from streamops.views.typed import write_typed

PLACE: Partition = ("predictions", 0)
FILE = 20_000
ROUNDS = 3


def records(count: int) -> list[RawRecord]:
    """Predictions as an application sends them, with the headers of CloudEvents."""
    made = []
    for n in range(count):
        features = msgspec.json.encode({f"f{k}": (n * 7 + k) % 1000 / 10 for k in range(8)})
        event = PredictionMade(
            id=f"prediction-{n}",
            time=moment(1_777_600_000 * SECOND_US + n),
            model="demand",
            version="1",
            prediction=n % 2 == 0,
            score=n % 100 / 100,
            features=msgspec.Raw(features),
        )
        headers = (("ce_id", event.id.encode()), ("ce_source", b"//shop/till"))
        made.append(RawRecord(*PLACE, n, 1_777_600_000_000 + n, b"k", codec.encode(event), headers))
    return made


def archive(rows: Sequence[RawRecord], folder: Path, *, is_sealed: bool) -> float:
    """Write files, and seal them if asked; returns the seconds of CPU it took."""
    begun = time.process_time()
    sealer = Sealer(folder, "bench")
    for first in range(0, len(rows), FILE):
        part = rows[first : first + FILE]
        cover = cover_of([r.offset for r in part], first, first + len(part))
        path = write_raw(folder, part, PLACE, cover)
        write_typed(folder, part, PLACE, first)
        if is_sealed:
            sealer.take(PLACE, part, cover, path)
    if is_sealed:
        sealer.seal(0.0)
    return time.process_time() - begun


def measure(count: int) -> dict[str, object]:
    """Return records a second of CPU, each the median of three rounds."""
    rows = records(count)
    found: dict[str, list[float]] = {}
    size = {"raw": 0, "chain": 0}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as bare, tempfile.TemporaryDirectory() as sealed:
            found.setdefault("archived", []).append(archive(rows, Path(bare), is_sealed=False))
            found.setdefault("sealed", []).append(archive(rows, Path(sealed), is_sealed=True))
            for name in size:
                size[name] = sum(p.stat().st_size for p in (Path(sealed) / name).rglob("*.*"))
            found.setdefault("hashed", []).append(_timed(lambda: _hash(rows)))
            folder = Path(sealed)
            found.setdefault("read", []).append(_timed(lambda folder=folder: _read(folder)))
            found.setdefault("checked", []).append(
                _timed(lambda folder=folder: verify_chain(folder))
            )
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    return {
        "records": count,
        "bytes_a_record": round(sum(len(r.value) for r in rows) / count),
        **{f"{name}_per_s": round(count / seconds) for name, seconds in middle.items()},
        "sealed_to_archived": round(middle["archived"] / middle["sealed"], 3),
        "checked_to_read": round(middle["read"] / middle["checked"], 3),
        "raw_bytes": size["raw"],
        "chain_bytes": size["chain"],
        "note": "seconds of CPU, not of the clock; figures are noisy on a shared machine",
    }


def _hash(rows: Sequence[RawRecord]) -> None:
    for first in range(0, len(rows), SEGMENT_RECORDS):
        merkle_root(leaf_hashes(rows[first : first + SEGMENT_RECORDS]))


def _read(folder: Path) -> None:
    for _ in ArchiveLog(folder).read(*PLACE):
        pass


def _timed(run: object) -> float:
    begun = time.process_time()
    run()  # type: ignore[operator]
    return time.process_time() - begun


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000), indent=1))
