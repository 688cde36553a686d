"""report: a model's history for an auditor, in one file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from streamops.commands.answers import Archive, archive_of
from streamops.commands.output import print_json, progress, say
from streamops.commands.place import HERE, Json, Place
from streamops.core.times import aware
from streamops.errors import ConfigError, TransportError

FAILED = 1
Time = Annotated[datetime | None, Parameter(help="Event time, ISO 8601; UTC without a zone.")]


def report(
    model: Annotated[str, Parameter(help="The model.")],
    *,
    place: Place = HERE,
    since: Time = None,
    until: Time = None,
    out: Annotated[
        Path | None, Parameter(help="HTML file to write; report-MODEL.html if left out.")
    ] = None,
    archive: Archive = None,
    artifacts: Annotated[
        Path | None, Parameter(help="Folder of the model files; beside the archive if left out.")
    ] = None,
    json: Json = False,
) -> int:
    """Write a report for Articles 12 and 19 of the EU AI Act and for model validation.

    One HTML file that loads nothing, and a PDF beside it where Chromium is there. Every alert in
    it is recomputed and the chain is checked meanwhile; exit status 1 where one doesn't hold.

    Example: streamops report electricity --since 1997-01-01 --archive .streamops/demo/archive
    """
    from streamops.web.report.gather import gather
    from streamops.web.report.page import document, unverified
    from streamops.web.report.pdf import find_chromium, print_pdf

    html = out or Path(f"report-{model.replace('/', '-')}.html")
    if html.suffix != ".html":
        raise ConfigError(f"--out is {str(html)!r}: give a name that ends in .html")
    folder = archive_of(place, archive)
    with progress("reading") as show:
        found = gather(
            folder,
            artifacts or folder.parent / "artifacts",
            model,
            since=aware(since),
            until=aware(until),
            on_progress=lambda what: show,
        )
    write(html, document(found))
    chromium = find_chromium()
    pdf = html.with_suffix(".pdf") if chromium else None
    if chromium and pdf:
        print_pdf(chromium, html, pdf)
    bad = len(unverified(found))
    written: dict[str, Any] = {
        "html": html,
        "pdf": pdf,
        "alerts": len(found.alerts),
        "unverified": bad,
        "seals": found.chain.seals,
        "chain_ok": found.chain.ok,
    }
    if json:
        print_json(written)
    else:
        print(html if pdf is None else f"{html}\n{pdf}")
    if pdf is None:
        say(
            "no Chromium is here, so there is no PDF: install one, or print the HTML from a browser"
        )
    chain = "holds" if found.chain.ok else "is BROKEN"
    chain = f"the chain {chain}" if found.chain.seals else "there is no seal"
    say(f"{len(found.alerts)} alerts, {len(found.alerts) - bad} verified; {chain}")
    return 0 if found.chain.ok and not bad else FAILED


def write(path: Path, data: bytes) -> None:
    """Write the file; TransportError where the disk refuses."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise TransportError(f"{path} can't be written: {error.strerror}; name another") from None
