import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.model import CostStatus, Endpoint, Outcome
from data.pricing import Priced
from proxy.recovery import interrupted
from proxy.segments import examine
from tests.proxy.spool_samples import NOW, durable, ended, ids, opened, started

NAMES = ["a", "b", "c", "d", "e"]


def price(**asked):
    tokens = asked["tokens"]
    return Priced(Decimal(tokens.input) / 1000, CostStatus.EXACT, "list 1")


def no_price(**asked):
    return Priced(None, CostStatus.UNPRICED, "")


def test_an_interrupted_request_costs_its_estimated_input():
    record = interrupted(started("a", estimated_input_tokens=700, user="ann", model_requested="m"), NOW, price)
    assert (record.id, record.user, record.model, record.ended_at) == ("a", "ann", "m", NOW)
    assert (record.outcome, record.status, record.error_class) == (Outcome.INTERRUPTED, 0, "interrupted")
    assert (record.uncached_input_tokens, record.output_tokens) == (700, 0)
    assert (record.cost_usd, record.cost_status) == (Decimal("0.7"), CostStatus.ESTIMATED)
    assert "700 input tokens" in record.cost_note


def test_without_a_price_it_is_unpriced():
    record = interrupted(started("a"), NOW, no_price)
    assert (record.cost_usd, record.cost_status) == (None, CostStatus.UNPRICED)


def test_an_endpoint_that_bills_nothing_costs_nothing():
    record = interrupted(started("a", endpoint=Endpoint.COUNT_TOKENS), NOW, price)
    assert (record.cost_usd, record.uncached_input_tokens) == (0, 0)


def written(folder: Path) -> Path:
    """A segment with five records and one request in flight; the bytes as they were are on the disk."""
    with opened(folder) as spool:
        spool.start(started("lost"))
        for name in NAMES:
            spool.start(started(name))
            spool.end(ended(name))
    (path,) = folder.glob("segment-*.log")
    return path


def test_a_closed_spool_reserves_nothing(tmp_path):
    path = written(tmp_path)
    assert examine(path.read_bytes()).good_until == path.stat().st_size


@pytest.mark.parametrize("last", [True, False])
def test_reserved_space_that_was_never_written_is_cut_off_without_a_word(tmp_path, caplog, last):
    path = written(tmp_path)
    if not last:
        with opened(tmp_path):
            pass
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(5000))
    with opened(tmp_path) as spool:
        assert ids(durable(spool)) == [*NAMES, "lost"]
    assert path.stat().st_size == size
    assert [told for told in caplog.records if told.name.startswith(("proxy.", "data."))] == []
    assert list(tmp_path.glob("*.corrupt")) == []


def test_a_torn_tail_is_cut_off(tmp_path, caplog):
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with opened(tmp_path) as spool:
        # the last record's end is gone, so its start is one without an end
        assert sorted(ids(durable(spool))) == ["a", "b", "c", "d", "e", "lost"]
        assert spool.next_sequence == 7
    assert path.read_bytes() == whole[: examine(whole[:-10]).good_until]
    assert "unfinished write" in caplog.text
    assert list(tmp_path.glob("*.corrupt")) == []


def test_a_damaged_segment_is_kept_aside_and_the_rest_of_it_lives_on(tmp_path, caplog):
    path = written(tmp_path)
    harmed = bytearray(path.read_bytes())
    second = [frame for frame in examine(bytes(harmed)).frames if frame.number == 2]
    harmed[second[0].begin + 40] ^= 1
    path.write_bytes(harmed)
    with opened(tmp_path) as spool:
        first, before = spool.read(0, 10)
        assert (first, ids(before)) == (1, ["a"])
        first, behind = spool.read(1, 3)
        assert (first, ids(behind)) == (3, ["c", "d", "e"])
        first, recovered = spool.read(5, 10)
        assert (first, sorted(ids(recovered))) == (6, ["b", "lost"])
    (aside,) = tmp_path.glob("*.corrupt")
    assert aside.read_bytes() == bytes(harmed)
    assert "is damaged" in caplog.text
    with opened(tmp_path) as spool:
        assert spool.next_sequence == 8
    assert list(tmp_path.glob("*.corrupt")) == [aside]


def test_a_torn_segment_that_is_not_the_last_is_damaged(tmp_path):
    path = written(tmp_path)
    with opened(tmp_path) as spool:
        spool.end(ended("later"))
    path.write_bytes(path.read_bytes()[:-10])
    with opened(tmp_path) as spool:
        assert "later" in ids(spool.read(5, 10)[1])
    assert len(list(tmp_path.glob("*.corrupt"))) == 1


@pytest.mark.parametrize("junk", [b"", b"\x00" * 4096], ids=["empty", "zeros"])
def test_a_segment_that_was_never_written_is_passed_over(tmp_path, junk):
    written(tmp_path)
    (tmp_path / "segment-00000002.log").write_bytes(junk)
    with opened(tmp_path) as spool:
        assert sorted(ids(durable(spool))) == [*NAMES, "lost"]


def test_a_frame_of_another_version_is_left_out(tmp_path, caplog):
    from proxy.segments import Kind, encoded

    path = written(tmp_path)
    alien = encoded(Kind.END, 6, started("alien"))
    path.write_bytes(path.read_bytes() + bytes(alien))
    with opened(tmp_path) as spool:
        assert spool.next_sequence == 8
        assert ids(spool.read(0, 10)[1]) == NAMES
        assert spool.read(5, 10)[0] == 7
    assert "cannot be read" in caplog.text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_cut_every_whole_record_is_read_once(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = written(folder)
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        before = {frame.number for frame in examine(whole[:cut]).frames if frame.kind == 3}
        with opened(folder) as spool:
            found = ids(durable(spool))
        assert found[: len(before)] == NAMES[: len(before)]
        assert len(found) == len(set(found))
