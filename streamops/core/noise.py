"""Which of an epoch's alerts page: holds, flapping, and one page for one cause.

Rule 1: nothing is dropped and no id changes: an alert that doesn't page is raised with `silenced`
        and the reason, where it would stand anyway. What asks for a retrain doesn't look here.
Rule 2: in this order: its fingerprint's own silence, a hold, flapping, the incident. The first that
        holds is the reason.
Rule 3: of the alerts of one epoch the most severe pages, the first of equals; a member that is more
        severe than its incident's pages so far pages again.
Rule 4: the newest configuration rules: this is about telling, not about panes.
"""

from __future__ import annotations

from msgspec.structs import replace

from streamops.config import NoisePolicy
from streamops.core import holds
from streamops.core.noise_state import Flaps, Incident, NoiseState
from streamops.core.times import SECOND_US, micros
from streamops.core.workbook import Workbook
from streamops.events import AlertRaised
from streamops.quiet import Noise

RANKS = {"minor": 0, "moderate": 1, "major": 2}
EACH_PAGES = NoisePolicy(group_panes=0, flap_times=0)


def settle(book: Workbook) -> None:
    """Say of the epoch's alerts which page; where nobody quiets a model they stay as they are."""
    raised: dict[str, dict[int, AlertRaised]] = {}
    for at, output in enumerate(book.outputs):
        if isinstance(output.event, AlertRaised):
            raised.setdefault(output.event.model, {})[at] = output.event
    for name, alerts in raised.items():
        policy, known = book.get(name).config.noise, book.noise_of(name)
        if policy is None and not known.holds:
            continue
        judged = _Judge(book, name, policy or EACH_PAGES, known)
        for at, alert in judged.take(alerts).items():
            book.outputs[at] = book.outputs[at]._replace(made=alert)
        book.keep_noise(name, judged.state())


class _Judge:
    """One model's alerts of one epoch."""

    def __init__(self, book: Workbook, name: str, policy: NoisePolicy, known: NoiseState) -> None:
        model = book.get(name)
        self.policy, self.known, self.us = policy, known, book.us
        self.pane_us = model.config.pane_s * SECOND_US
        still_open = {state.alert_id for state in model.rules.values() if state.alert_id}
        self.incident = known.incident if policy.group_panes else None
        before = self.incident.alerts if self.incident else ()
        self.members = [id_ for id_ in before if id_ in still_open]
        self.flaps = dict(known.flaps) if policy.flap_times else {}

    def take(self, alerts: dict[int, AlertRaised]) -> dict[int, AlertRaised]:
        """Return the alerts, by their places, as they are to be written."""
        often = {at: self._count(alert) for at, alert in alerts.items()}
        worst_first = sorted(alerts, key=lambda at: -RANKS[alerts[at].severity])
        said = {at: self._judge(alerts[at], often[at]) for at in worst_first}
        members: dict[str, list[str]] = {}
        for at in sorted(said):
            noise = said[at]
            if noise is not None and noise.reason == "group":
                members.setdefault(noise.group, []).append(alerts[at].fingerprint)
        return {at: _written(alerts[at], said[at], members) for at in alerts}

    def state(self) -> NoiseState:
        """Return what to keep."""
        newest = max((max(f.raised_us) for f in self.flaps.values()), default=0)
        span_us = self.policy.flap_panes * self.pane_us
        flaps = {k: f for k, f in self.flaps.items() if newest - max(f.raised_us) < span_us}
        incident = self.incident and replace(self.incident, alerts=tuple(self.members))
        return NoiseState(self.known.holds, incident, flaps)

    def _count(self, alert: AlertRaised) -> bool:
        """Count an alert of a fingerprint; tell whether it comes and goes."""
        if not self.policy.flap_times:
            return False
        before = self.flaps.get(alert.fingerprint, Flaps())
        now, span_us = micros(alert.time), self.policy.flap_panes * self.pane_us
        lately = [us for us in before.raised_us if now - us < span_us]
        raised = (*lately, now)[-self.policy.flap_times :]
        often = len(raised) >= self.policy.flap_times
        self.flaps[alert.fingerprint] = Flaps(raised, before.paged if often else "")
        return often

    def _judge(self, alert: AlertRaised, often: bool) -> Noise | None:
        if alert.silenced:
            return None
        held = holds.in_force(self.known, alert, self.us)
        if held is not None:
            return Noise(reason=held[1].how, by=held[0])
        if often and (paged := self.flaps[alert.fingerprint].paged):
            return Noise(reason="flapping", by=paged, flapping=True)
        noise = self._grouped(alert) if self.policy.group_panes else Noise()
        if not often:
            return noise
        if not noise.reason:
            flaps = self.flaps[alert.fingerprint]
            self.flaps[alert.fingerprint] = replace(flaps, paged=alert.id)
        return replace(noise, flapping=True)

    def _grouped(self, alert: AlertRaised) -> Noise:
        """Put an alert to its incident; a new one begins where none takes it."""
        now, last = micros(alert.time), self.incident
        span_us = self.policy.group_panes * self.pane_us
        if last is None or not self.members or abs(now - last.at_us) >= span_us:
            self.incident, self.members = Incident(alert.id, now, alert.severity), [alert.id]
            return Noise()
        self.members.append(alert.id)
        if RANKS[alert.severity] <= RANKS[last.severity]:
            return Noise(reason="group", by=last.id, group=last.id)
        self.incident = replace(last, severity=alert.severity)
        return Noise(group=last.id)


def _written(alert: AlertRaised, noise: Noise | None, members: dict[str, list[str]]) -> AlertRaised:
    """Return the alert with what is to be said of it; nothing where it pages as ever."""
    if noise is None:
        return alert
    if alert.id in members and not noise.reason:
        noise = replace(noise, group=alert.id, members=tuple(members[alert.id]))
    if noise == Noise():
        return alert
    return replace(alert, silenced=bool(noise.reason), noise=noise)
