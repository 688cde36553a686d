"""alerts, verify, replay, explain: what the system concluded, and the proof."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from streamops.commands.output import print_json, print_line, print_table, progress, say
from streamops.commands.place import HERE, Json, Place
from streamops.errors import ConfigError

FAILED = 1
WHY = " " * 21 + "drifted   "

Archive = Annotated[
    Path | None, Parameter(help="Folder of the archive; the data folder's own if left out.")
]

Workers = Annotated[
    int | None,
    Parameter(
        validator=validators.Number(gte=1),
        help="Processes that fold raw records; one a CPU if left out, and 1 where they are few.",
    ),
]


def alerts(
    *,
    place: Place = HERE,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="Wait for more.")
    ] = False,
    limit: Annotated[
        int,
        Parameter(validator=validators.Number(gte=0), help="Stop after so many; 0: no limit."),
    ] = 0,
    group: Annotated[
        str, Parameter(help="Go on after what this reader saw last; empty: from the beginning.")
    ] = "",
    why: Annotated[
        bool,
        Parameter(
            name="--why",
            negative="",
            help="Add what drifted in its pane, ranked.",
        ),
    ] = False,
    json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Print alerts, resolutions and silences, oldest first.

    With --why and --json a raised alert is one object, {"alert": ..., "causes": [...]}.

    Example: streamops alerts --follow --why
    """
    from contextlib import ExitStack

    from streamops.client import Client
    from streamops.sdk.alert_metrics import MetricsBehind

    settings = place.settings()
    client = Client(settings.bootstrap, namespace=settings.namespace, kafka=settings.kafka)
    with ExitStack() as stack:
        stack.enter_context(client)
        behind = stack.enter_context(MetricsBehind(settings)) if why else None
        shown = client.alerts(
            group=group or "streamops-cli",
            resume_from="last" if group else "earliest",
            follow=follow,
        )
        for number, alert in enumerate(shown, start=1):
            causes = None if behind is None else causes_of(behind, alert)
            if json:
                print_line(alert if causes is None else {"alert": alert, "causes": causes})
            else:
                print(describe_alert(alert), flush=True)
                for cause in causes or ():
                    print(f"{WHY}{words_of(cause)}", flush=True)
            if number == limit:
                return


def causes_of(behind: Any, alert: Any) -> tuple[Any, ...] | None:
    """What drifted in the panes that a raised alert rests on, ranked; None for other records."""
    from streamops.audit.causes import ranked
    from streamops.events import AlertRaised

    if not isinstance(alert, AlertRaised):
        return None
    panes = behind.of(alert)
    alarms = [alarm for pane in panes for alarm in pane.drift]
    return ranked(alarms, panes[-1].metrics if panes else ())


def words_of(cause: Any) -> str:
    """A cause for a person."""
    from streamops.audit.causes import words

    return words(cause)


def describe_alert(alert: Any) -> str:
    """One line for a person."""
    from streamops.events import AlertRaised, AlertResolved

    when = alert.time.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(alert, AlertRaised):
        feature = f" of {alert.feature}" if alert.feature else ""
        where = f" in {alert.segment}" if alert.segment != "all" else ""
        silent = f" ({_told(alert)})" if _told(alert) else ""
        measured = f"is {alert.value:.4g}, limit {alert.limit:.4g}"
        if alert.since is not None:
            measured += f", since {alert.since:%Y-%m-%d %H:%M:%S}"
        return (
            f"{when}  raised    {alert.severity:8} {alert.model} {alert.version}: {alert.kind}, "
            f"{alert.metric}{feature}{where} {measured}"
            f"{silent}  [{alert.fingerprint}]"
        )
    if isinstance(alert, AlertResolved):
        return f"{when}  resolved           {alert.model}: {alert.reason}  [{alert.fingerprint}]"
    what = "seen" if alert.acknowledge else f"silent until {alert.until:%Y-%m-%d %H:%M:%S}"
    if alert.hold is not None:
        since = "" if alert.hold.since is None else f" from {alert.hold.since:%Y-%m-%d %H:%M:%S}"
        what = f"{alert.hold.how}{since} until {alert.until:%Y-%m-%d %H:%M:%S}"
        what = f"{alert.hold.how} ended" if alert.hold.ended else what
    return f"{when}  {what}, by {alert.actor}  {alert.model}  [{alert.fingerprint}]"


def _told(alert: Any) -> str:
    """Why an alert pages nobody, or for how many it pages; empty for one that pages as ever."""
    noise = alert.noise
    if alert.silenced:
        return "silenced" if noise is None else f"{noise.reason}: {noise.by}"
    if noise is None:
        return ""
    more = f"and {len(noise.members)} more" if noise.members else ""
    return ", ".join(filter(None, (more, "flapping" if noise.flapping else "")))


def verify(
    alert: Annotated[
        str, Parameter(help="Id of one alert, or path of a capsule (`streamops incident save`).")
    ] = "",
    *,
    place: Place = HERE,
    all: Annotated[
        bool, Parameter(name="--all", negative="", help="Every alert of the archive.")
    ] = False,
    since: Annotated[
        str, Parameter(help="Alerts from a time on, as 2026-03-01T12:00Z; UTC without a zone.")
    ] = "",
    archive: Archive = None,
    workers: Workers = None,
    json: Json = False,
) -> int:
    """Recompute alerts from the raw records their proofs name, and compare byte by byte.

    One alert, or those since a time, from the last seal before all that their proofs name; with
    --all every one, in one pass from the beginning, and every seal. A capsule's alerts from the
    capsule alone. Exit status 0 only if all match and nothing is missing; each that doesn't match
    is named. What is found doesn't depend on --workers; from a seal on one process folds.

    Example: streamops verify --all --archive .streamops/demo/archive
    """
    from streamops.audit.verify import verify as recompute

    if [bool(alert), bool(since), all].count(True) != 1:
        raise ConfigError("verify needs one of: the id of an alert, --since TIME, --all")
    if alert and not alert.startswith("alert/"):
        from streamops.audit.capsule import is_capsule

        if is_capsule(Path(alert)):
            from streamops.commands.incident import verify_capsule

            return verify_capsule(Path(alert), json)
    with progress("verifying") as show:
        found = recompute(
            archive_of(place, archive),
            alert=alert,
            since=_time(since) if since else None,
            on_progress=show,
            workers=workers,
        )
    if json:
        print_json(found)
    else:
        _print_verification(found)
    return 0 if found.ok else FAILED


def replay(
    *,
    place: Place = HERE,
    archive: Archive = None,
    topics: Annotated[
        str, Parameter(help="Topics whose conclusions are shown, separated by commas.")
    ] = "alerts,retraining,deployments",
    json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print one JSON object a line.")
    ] = False,
) -> None:
    """Fold the archive again and print what it concludes.

    Example: streamops replay --archive .streamops/demo/archive --topics alerts
    """
    from streamops.audit.replay import run_replay

    with progress("replaying") as show:
        concluded = run_replay(
            archive_of(place, archive), topics=tuple(topics.split(",")), on_progress=show
        )
    if json:
        for event in concluded:
            print_line(event)
        return
    print_table(
        ["time", "type", "id"],
        [[event.time.isoformat(), type(event).__name__, event.id] for event in concluded],
    )


def explain(
    id: Annotated[str, Parameter(help="Id of an alert or of a prediction.")],
    *,
    place: Place = HERE,
    archive: Archive = None,
    json: Json = False,
) -> None:
    """Say in words what an alert rests on, or what became of a prediction, by record.

    Of an alert: its rule, metrics, panes and raw records. Of a prediction: the version, run, data
    and deployment behind it, its label and outcome, the panes and alerts that it counted in.

    Example: streamops explain electricity-20000 --archive .streamops/demo/archive
    """
    if not id.startswith("alert/"):
        _explain_prediction(archive_of(place, archive), id, json)
        return
    from streamops.audit.explain import as_text
    from streamops.audit.explain import explain as look_up

    found = look_up(archive_of(place, archive), id)
    if json:
        print_json(found)
    else:
        print(as_text(found))


def _explain_prediction(archive: Path, id_: str, json: bool) -> None:
    from streamops.audit.biography import biography
    from streamops.audit.biography_text import as_text

    found = biography(archive, id_)
    if json:
        print_json(found)
    else:
        print(as_text(found))


def archive_of(place: Place, archive: Path | None) -> Path:
    """The folder meant; ConfigError if it isn't there."""
    folder = archive or place.data / "archive"
    if not folder.is_dir():
        raise ConfigError(f"archive {folder} isn't there: name one with --archive DIR")
    return folder


def _time(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--since is {text!r}, which is no time; write it as 2026-03-01T12:00Z"
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _matching(erased: int) -> str:
    rest = "every one matches"
    return f"{rest} but {erased} that rest on erased values" if erased else rest


def _print_verification(found: Any) -> None:
    for verdict in found.alerts:
        if verdict.status != "verified":
            print(f"{verdict.id}: {verdict.status}")
            for reason in verdict.reasons:
                print(f"    {reason}")
    for finding in found.findings:
        print(f"archive: {finding}")
    proven = len([verdict for verdict in found.alerts if verdict.status == "verified"])
    bad = len(found.alerts) - proven - found.erased
    sealed = f", {found.seals} seals" if found.seals else ""
    begun = f", from the seal of epoch {found.start_epoch}" if found.start_epoch >= 0 else ""
    say(
        f"{len(found.alerts)} alerts recomputed from {found.records:,} records{sealed}{begun}: "
        + (
            _matching(found.erased)
            if found.ok
            else f"{bad} not verified, {len(found.findings)} findings"
        )
    )
