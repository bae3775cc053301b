import msgspec

from proxy.storable import storable
from tests.proxy.spool_samples import ended, started


def test_a_sound_record_stays_as_it_is():
    assert storable(ended("a")) == ended("a")
    assert storable(started("a")) == started("a")


def test_half_a_character_and_an_endless_number_are_replaced():
    record = storable(ended("a", key="k\ud800", output_tokens=2**80, tags={"\udcff": "x"}))
    assert (record.key, record.output_tokens, record.tags) == ("k?", 2**63 - 1, {"?": "x"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record)) == record
