"""A checkpoint waits for a quiet moment, but not for ever."""

from __future__ import annotations

from streamops.hosts.save_pace import QUIET_S, SavePace


def test_it_is_taken_when_due():
    pace = SavePace(1.0, 2.0, 10.0)
    assert not pace.may_save(10.99)
    assert pace.may_save(11.0)
    pace.saved(11.5)
    assert not pace.may_save(12.4)
    assert pace.may_save(12.5)


def test_it_waits_while_an_epoch_is_folded():
    pace = SavePace(1.0, 2.0, 10.0)
    pace.folded(10.9)
    assert not pace.may_save(11.0)
    assert pace.may_save(10.9 + QUIET_S)


def test_epochs_without_end_dont_put_it_off_for_ever():
    pace, now = SavePace(1.0, 2.0, 10.0), 10.0
    while not pace.may_save(now):
        now += QUIET_S / 2
        pace.folded(now)
    assert now == 12.0
