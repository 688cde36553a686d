"""A run of the bench with its files: what it knew, what it found, and plots beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from streamops.bench import tools
from streamops.bench.detection import Measured, measure
from streamops.bench.plots import plots
from streamops.bench.result import Parts, config_hash
from streamops.bench.tasks import PARTS, QUICK, WHOLE
from streamops.errors import ConfigError


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a run as they come. Of another seed, size or default they are no use."""

    config_hash: str
    seed: int
    size: dict[str, int]
    parts: Parts


def run(
    parts: Sequence[str] = (),
    *,
    quick: bool = False,
    prepare: bool = False,
    seed: int = 1,
    processes: int = 2,
    environments: Path = tools.FOLDER,
    data: Path | None = None,
    resume: bool = False,
    out: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> Measured | None:
    """Measure and write; None where only environments were to be prepared.

    OUT.json is written once every part is there, OUT.details.json after each task, OUT.*.svg at
    the end. Raises ConfigError as `measure` does, and where --resume finds another run's figures.
    """
    if prepare:
        tools.prepare(environments, on_progress)
        return None
    size = QUICK if quick else WHOLE
    details = out.with_suffix(".details.json")
    kept = Kept(config_hash=config_hash(), seed=seed, size=size._asdict(), parts={})
    known = _known(details, kept) if resume else {}
    out.parent.mkdir(parents=True, exist_ok=True)

    def keep(found: Parts) -> None:
        whole = msgspec.structs.replace(kept, parts=found)
        details.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))

    found = measure(
        size, seed=seed, parts=parts or PARTS, environments=environments, data=data,
        processes=processes, known=known, on_progress=on_progress, on_parts=keep,
    )  # fmt: skip
    told = {"config_hash": kept.config_hash, **msgspec.to_builtins(found)}
    details.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
    if found.result is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found.result), indent=1))
    for name, picture in plots(found.parts):
        out.with_suffix(f".{name}.svg").write_text(picture)
    return found


def _known(details: Path, now: Kept) -> Parts:
    if not details.is_file():
        return {}
    try:
        before = msgspec.json.decode(details.read_bytes(), type=Kept)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{details} can't be read ({error}); run without --resume") from error
    for name in ("config_hash", "seed", "size"):
        if getattr(before, name) != getattr(now, name):
            raise ConfigError(
                f"{details} is of another run (its {name} is {getattr(before, name)}, now "
                f"{getattr(now, name)}); run without --resume, or with another --out"
            )
    return before.parts
