import msgspec

from data.model import CostStatus
from proxy.storable import bare, storable
from tests.proxy.spool_samples import ended, started


def test_a_sound_record_stays_as_it_is():
    assert storable(ended("a")) == ended("a")
    assert storable(started("a")) == started("a")


def test_half_a_character_and_an_endless_number_are_replaced():
    record = storable(ended("a", key="k\ud800", output_tokens=2**80, tags={"\udcff": "x"}))
    assert (record.key, record.output_tokens, record.tags) == ("k?", 2**63 - 1, {"?": "x"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record)) == record


def test_a_bare_record_says_who_and_how_but_not_how_much():
    record = bare(ended("a", user="ann", model="m"))
    assert (record.id, record.user, record.model, record.ended_at) == ("a", "ann", "m", ended("a").ended_at)
    assert (record.output_tokens, record.cost_usd, record.cost_status) == (0, None, CostStatus.UNPRICED)
    assert "left out" in record.cost_note
