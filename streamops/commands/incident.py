"""incident save: an alert's whole proof in a folder or one file; and its verification."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from streamops.commands.answers import FAILED, Archive, archive_of
from streamops.commands.output import print_json, progress, say
from streamops.commands.place import HERE, Json, Place
from streamops.core.times import aware
from streamops.errors import ConfigError

APP = App(
    name="incident",
    help="""Save alerts with all that they rest on.

    Example: streamops incident save march-drift --since 2026-03-01
    """,
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Time = Annotated[datetime | None, Parameter(help="ISO 8601; UTC where it names no zone.")]


@APP.command
def save(
    name: Annotated[str, Parameter(help="What to call it: letters, digits, dots, dashes.")],
    *,
    place: Place = HERE,
    alert: Annotated[list[str] | None, Parameter(help="Id of an alert; may be repeated.")] = None,
    since: Time = None,
    until: Time = None,
    model: Annotated[str, Parameter(help="Only alerts of this model.")] = "",
    whole: Annotated[
        bool,
        Parameter(negative="", help="From the log's beginning: for a lasting regression test."),
    ] = False,
    archive: Archive = None,
    out: Annotated[
        Path | None,
        Parameter(help="A folder to make, or a file ending in .tar.zst; NAME.tar.zst if left out."),
    ] = None,
    json: Json = False,
) -> int:
    """Cut some alerts out of an archive, with all that their proofs rest on, as a capsule.

    Raw records from the last seal before their proofs, the seal, configuration, profile, expected
    conclusions and every file's SHA-256. What is saved is verified first. The same alerts give the
    same bytes. Anyone checks it with `streamops verify CAPSULE`: no broker, nothing else.

    Example: streamops incident save march-drift --since 2026-03-01 --until 2026-03-02
    """
    from streamops.audit.asked import Asked
    from streamops.audit.incident import save_incident

    if not NAME.fullmatch(name):
        raise ConfigError(f"name is {name!r}; use letters, digits, dots and dashes")
    asked = Asked(frozenset(alert or ()), aware(since), aware(until), model)
    if asked.is_all:
        raise ConfigError(
            "save needs to know which alerts: --alert ID, --since, --until or --model"
        )
    with progress("saving") as show:
        saved = save_incident(
            archive_of(place, archive),
            name,
            asked,
            out or Path(f"{name}.tar.zst"),
            whole=whole,
            on_progress=show,
        )
    if json:
        print_json(saved)
    else:
        print(saved.path)
        say(
            f"{len(saved.check.alerts)} alerts, {saved.check.records:,} records, "
            f"{saved.bytes:,} bytes; check it with `streamops verify {saved.path}`"
        )
    return 0


def verify_capsule(path: Path, json: bool) -> int:
    """Verify a capsule and print what was found; the exit status is 0 only if all is well."""
    from streamops.audit.capsule_check import check_capsule

    with progress("verifying") as show:
        found = check_capsule(path, on_progress=show)
    if json:
        print_json(found)
        return 0 if found.ok else FAILED
    for verdict in found.alerts:
        print(f"{verdict.id}: {verdict.status}")
        for reason in verdict.reasons:
            print(f"    {reason}")
    for finding in found.findings:
        print(f"capsule: {finding}")
    meaning = "" if found.semantics == "same" else f" ({found.semantics})"
    bad = len([verdict for verdict in found.alerts if verdict.status != "verified"])
    result = (
        "every one matches" if found.ok else f"{bad} not verified, {len(found.findings)} findings"
    )
    say(
        f"{found.name}: {len(found.alerts)} alerts recomputed from {found.records:,} records of "
        f"{path}{meaning}: {result}"
    )
    return 0 if found.ok else FAILED
