"""retrains: the ledger of challengers, and what each decision lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from streamops.commands.answers import Archive, archive_of
from streamops.commands.output import print_json, print_table, progress, say
from streamops.commands.place import HERE, Json, Place

COLUMNS = (
    "time", "model", "strategy", "trigger", "seconds", "rows", "verdict",
    "later rows", "new", "old", "as served", "regret",
)  # fmt: skip


def retrains(
    *,
    place: Place = HERE,
    model: Annotated[str, Parameter(help="Of one model alone.")] = "",
    archive: Archive = None,
    artifacts: Annotated[
        Path | None,
        Parameter(help="Folder of the model files; beside the archive if left out."),
    ] = None,
    json: Json = False,
) -> None:
    """List each retrain: cause, cost, verdict, and its regret on the outcomes that came after.

    New and old model answer the same later outcomes, up to the next promotion, by their recorded
    files. Regret is how much better the other choice would have been; below 0 it was right.

    Example: streamops retrains --archive .streamops/demo/archive
    """
    from streamops.audit.retrains import retrains as ledger

    folder = archive_of(place, archive)
    with progress("comparing models") as show:
        found = ledger(
            folder, artifacts or folder.parent / "artifacts", model=model, on_progress=show
        )
    if json:
        print_json(found)
        return
    print_table(COLUMNS, [row(retrain) for retrain in found.retrains])
    print_table(
        ("trigger", "requests", "promoted", "seconds", "rows", "gain of those promoted"),
        [
            (t.trigger, t.requests, t.promoted, f"{t.seconds:.1f}", t.rows, number(t.gain, "+"))
            for t in found.triggers
        ],
    )
    unscored = {name for r in found.retrains if r.regret for name in r.regret.unscored}
    if unscored:
        say(f"{len(unscored)} versions could not be asked; --json says why")
    lost = [(r.regret.erased, r.regret.unread) for r in found.retrains if r.regret]
    erased, unread = sum(n for n, _ in lost), sum(n for _, n in lost)
    if erased or unread:
        say(
            f"left out of later rows: {erased} whose values about a person were erased by request, "
            f"{unread} whose key isn't here"
        )


def row(retrain: Any) -> tuple[Any, ...]:
    """Return a retrain's line of the table."""
    regret = retrain.regret
    later = ("", "", "", "", "")
    if regret is not None:
        values = [number(v) for v in (regret.new, regret.old, regret.as_served)]
        later = (regret.rows, *values, number(regret.regret, "+"))
    seconds = "" if retrain.seconds is None else f"{retrain.seconds:.1f}"
    return (
        retrain.time.strftime("%Y-%m-%d %H:%M"),
        retrain.model,
        retrain.strategy,
        retrain.trigger,
        seconds,
        retrain.rows,
        retrain.verdict,
        *later,
    )


def number(value: float | None, sign: str = "") -> str:
    """Return a value in four digits, `-` for none."""
    return "-" if value is None else f"{value:{sign}.4f}"
