"""Channels as they are kept: what a change of one leaves, and what it refuses."""

import pytest

from engine import channel_store
from engine.channels.webhook import new_secret
from engine.errors import RuleError
from engine.secrets import SecretBox


@pytest.fixture
def box(home):
    return SecretBox(home)


@pytest.fixture
def made(store, box):
    """A webhook with a generated secret."""
    document = {"name": "hook", "kind": "webhook", "config": {"url": "https://example.com/"}}
    return channel_store.create(store, box, document, by="ada")


def changed(store, box, made, **config):
    """The secrets and the previous ones after a change."""
    channel_store.update(store, box, made.id, {"config": config}, by="ada")
    kept, _ = channel_store.config_of(channel_store.by_id(store, made.id), box)
    return kept.secret, kept.previous_secret


def test_a_webhook_cannot_be_left_without_a_secret(store, box, made):
    before = channel_store.by_id(store, made.id)
    with pytest.raises(RuleError) as caught:
        changed(store, box, made, secret="")
    assert [fault.path for fault in caught.value.faults] == ["config.secret"]
    assert channel_store.by_id(store, made.id) == before


def test_a_new_secret_keeps_the_one_before_which_was_shown_only_once(store, box, made):
    first, second, third = made.new_secret, new_secret(), new_secret()
    assert changed(store, box, made, secret=second) == (second, first)
    assert changed(store, box, made, url="https://example.com/b") == (second, first)
    assert changed(store, box, made, secret=second) == (second, first)
    assert changed(store, box, made, **{**made.shown, "secret": third}) == (third, second)
    assert changed(store, box, made, previous_secret="") == (third, "")


def test_the_secret_before_is_what_the_caller_says(store, box, made):
    second, other = new_secret(), new_secret()
    assert changed(store, box, made, secret=second, previous_secret="") == (second, "")
    assert changed(store, box, made, secret=new_secret(), previous_secret=other)[1] == other
