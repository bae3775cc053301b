import pytest

from engine.backlog import Backlog
from engine.breakers import Plan
from engine.outbox import queued
from tests.engine.receivers import FIRING, NOON


def due(*names):
    """`hook 1`: the first notification to `hook`."""
    return [queued(name, FIRING, channel=name.split()[0], at=NOON) for name in names]


def filled(*names, each=2):
    backlog = Backlog(each)
    backlog.fill(due(*names))
    return backlog


def send(_):
    return Plan.SEND


@pytest.mark.parametrize(
    ("places", "taken"), [(0, []), (1, ["hook 1"]), (5, ["hook 1", "hook 2"])], ids=["none", "one", "all"]
)
def test_no_more_is_taken_than_there_are_places_and_the_oldest_first(places, taken):
    backlog = filled("hook 1", "mail 1", "hook 2")
    assert [row.id for row, _ in backlog.take("hook", places, send)] == taken
    assert "mail" in backlog.channels


def test_what_waits_hides_nothing_behind_it_and_is_asked_about_again():
    backlog = filled("hook 1", "hook 2", each=9)
    first = backlog.take("hook", 2, lambda row: Plan.WAIT if row.id == "hook 1" else Plan.GIVE_ON)
    assert [(row.id, plan) for row, plan in first] == [("hook 2", Plan.GIVE_ON)]
    assert [row.id for row, _ in backlog.take("hook", 2, send)] == ["hook 1"]
    assert backlog.channels == []


def test_a_channel_that_is_used_up_hides_more_only_if_not_all_was_found():
    backlog = filled("hook 1", "hook 2", "mail 1")
    assert not backlog.hides_more
    backlog.take("mail", 9, send)
    assert not backlog.hides_more
    backlog.take("hook", 9, send)
    assert backlog.hides_more
    backlog.fill(due("hook 3"))
    assert not backlog.hides_more
