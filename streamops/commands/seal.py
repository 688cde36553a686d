"""seal, verify-chain: tamper evidence for the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from streamops.commands.answers import Archive, archive_of
from streamops.commands.models import Actor, Reason
from streamops.commands.output import print_json, progress, say
from streamops.commands.place import HERE, Json, Place

BROKEN = 1


def seal(
    *,
    place: Place = HERE,
    print_: Annotated[
        bool,
        Parameter(name="--print", negative="", help="Print the one line to keep elsewhere, alone."),
    ] = False,
    reason: Reason = "",
    actor: Actor = None,
    wait: Annotated[
        float,
        Parameter(validator=validators.Number(gte=0), help="Seconds to wait for the archiver."),
    ] = 60.0,
    json: Json = False,
) -> None:
    """Have the archiver seal everything that stands on the topics now.

    The line it prints stands for the whole history up to here: keep it where nobody who can write
    to the archive can change it, and hold the archive against it with verify-chain.

    Example: streamops seal --print >> seals.txt
    """
    from streamops.audit.seal_line import line_of
    from streamops.audit.seal_request import ask_for_seal

    event = ask_for_seal(place.settings(), reason=reason, actor=actor, wait_s=wait)
    line = str(line_of(event))
    records = sum(segment.records for segment in event.segments)
    if json:
        print_json({"number": event.number, "time": event.time, "records": records, "line": line})
        return
    if not print_:
        say(f"seal {event.number} covers {records:,} more records; keep this line elsewhere:")
    print(line, flush=True)


def verify_chain(
    *,
    place: Place = HERE,
    archive: Archive = None,
    against: Annotated[
        str, Parameter(help="A line that `streamops seal --print` printed, kept elsewhere.")
    ] = "",
    json: Json = False,
) -> int:
    """Check that the archive holds the records that were sealed, and name those that differ.

    Needs the archive folder alone. Exit status 0 only if every sealed record is there, unaltered.

    Example: streamops verify-chain --archive .streamops/demo/archive --against "$(cat seal.txt)"
    """
    from streamops.audit.record_chain import verify_chain as check
    from streamops.audit.seal_line import read_line

    line = read_line(against) if against else None
    folder = archive_of(place, archive)
    with progress("checking the chain") as show:
        found = check(folder, against=line, on_progress=show)
    if json:
        print_json(found)
    else:
        _print_check(found, folder)
    return 0 if found.ok else BROKEN


def _print_check(found: Any, folder: Path) -> None:
    for broken in found.broken:
        print(broken)
    for line in (*found.unreadable, *found.altered):
        print(line)
    held = " and is the line's" if found.against and found.ok else ""
    verdict = f"the chain holds{held}" if found.ok else f"BROKEN at {len(found.broken)} places"
    say(
        f"{folder}: {found.sealed:,} records under {found.seals} seals, {found.unsealed:,} behind "
        f"the last: {verdict}"
    )
