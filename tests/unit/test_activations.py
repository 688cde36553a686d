"""activations: what counts, what is due, and where a configuration begins."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from streamops.config import config_hash
from streamops.core.times import EPOCH
from streamops.events import ConfigActivated, ConfigApplied, ModelRegistered
from streamops.hosts.activations import Activations, delivery_of
from tests.builders import at
from tests.recorded import config, version

NOW = at(1_000_000)
SKEW_MS = 60_000


def applied(number: int, model: str = "fraud") -> ConfigApplied:
    given = config(model, 0.1 + number / 100)
    return ConfigApplied(
        id=f"c/{number}", time=EPOCH, config=given, config_hash=config_hash(given), actor="ada"
    )


def asked(*requests: ConfigApplied | ModelRegistered) -> Activations:
    state = Activations(SKEW_MS)
    for request in requests:
        state.ask(request)
    return state


def test_what_counted_is_due_as_it_stands_until_it_is_delivered():
    state = asked(applied(1))
    proposed = state.propose(NOW)
    assert proposed is not None
    assert (proposed.id, proposed.revision) == ("numbered/c/1/1", 1)
    assert state.due() == [], "it may be too late"
    state.count(proposed)
    assert state.propose(NOW) is None
    (activated,) = state.due()
    assert activated == replace(proposed, id="activated/c/1")
    delivered = delivery_of(activated)
    assert (delivered.id, delivered.revision, delivered.model) == ("delivered/c/1", 1, "fraud")
    state.deliver(delivered)
    state.ask(applied(1))
    assert not state.is_pending


def test_of_two_with_one_number_the_first_has_it_and_the_other_gets_the_next():
    state, other = asked(applied(1), applied(2)), asked(applied(2))
    first, late = state.propose(NOW), other.propose(NOW)
    assert first is not None
    assert late is not None
    assert first.revision == late.revision == 1
    for each in (state, other):
        each.ask(applied(1))
        each.count(first)
        each.count(late)
        again = each.propose(NOW)
        assert again is not None
        assert (again.id, again.revision) == ("numbered/c/2/2", 2)


def test_a_request_counts_once_whatever_is_proposed_for_it():
    state = asked(applied(1))
    proposed = state.propose(NOW)
    assert proposed is not None
    state.count(proposed)
    state.count(replace(proposed, id="numbered/c/1/9", revision=9, first_pane=at(5)))
    assert [event.revision for event in state.due()] == [1]


def test_numbers_go_on_above_what_stands_in_the_input():
    """As in a namespace of before, whose numbers were proposed nowhere."""
    state = asked(applied(1), applied(2))
    begun = ConfigActivated(
        id="activated/c/1",
        time=EPOCH,
        revision=7,
        first_pane=at(300),
        config=applied(1).config,
        config_hash="x",
    )
    state.see(begun)
    proposed = state.propose(NOW)
    assert isinstance(proposed, ConfigActivated)
    assert (proposed.revision, proposed.first_pane) == (8, at(300)), "it begins where it began"


def test_a_models_first_configuration_rules_all_and_the_next_begins_beyond_the_skew():
    state = asked(applied(1), applied(2), applied(3, "churn"))
    panes = []
    while proposed := state.propose(NOW):
        state.count(proposed)
        panes.append(proposed.first_pane)
    assert panes[0] == panes[2] == EPOCH
    length = timedelta(seconds=applied(2).config.pane_s)
    assert NOW + timedelta(milliseconds=SKEW_MS) < panes[1]
    assert panes[1] <= NOW + timedelta(milliseconds=SKEW_MS) + length


def test_a_version_is_delivered_under_its_name():
    registered = ModelRegistered(id="r/1", time=EPOCH, version=version("fraud", 3))
    state = asked(registered)
    proposed = state.propose(NOW)
    assert proposed is not None
    state.count(proposed)
    delivered = delivery_of(state.due()[0])
    assert (delivered.model, delivered.version, delivered.config_hash) == ("fraud", "v3", "")
