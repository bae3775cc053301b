import msgspec
import pyarrow as pa
import pytest

from data.encoded_records import encoded_table
from data.errors import QueryRejected
from data.records import record_table
from tests.data.ledger import record


def batch(first, last):
    return record_table([record(number) for number in range(first, last + 1)])


def ids(store):
    return store.sql("SELECT id FROM requests ORDER BY rowid")["id"].to_list()


def test_a_record_is_stored_as_it_is(store):
    original = record(4, usage='{"input_tokens": 4}', error_message="zu spät ☕")
    store.put(record_table([original]), spool_id="s", first=1, last=1)
    row = store.sql("SELECT * FROM requests").row(0, named=True)
    expected = msgspec.structs.asdict(original) | {"tags": '{"branch":"b0"}'}
    for name in ("started_at", "ended_at"):
        assert int(row.pop(name).timestamp() * 1_000_000) == expected.pop(name)
    assert row == expected


def test_text_with_half_a_surrogate_pair_is_repaired_not_lost(store):
    rows = record_table([record(1, error_message="bad \ud83d end", tags={"k": "fine"})])
    store.put(rows, spool_id="s", first=1, last=1)
    assert store.sql("SELECT error_message FROM requests").item() == "bad ? end"


def test_a_batch_that_comes_again_is_dropped(store):
    for _ in range(3):
        assert store.put(batch(1, 3), spool_id="s", first=1, last=3) == 3
    assert ids(store) == ["id-1", "id-2", "id-3"]


def test_only_the_new_part_of_an_overlapping_batch_is_stored(store):
    store.put(batch(1, 3), spool_id="s", first=1, last=3)
    assert store.put(batch(2, 5), spool_id="s", first=2, last=5) == 5
    assert ids(store) == ["id-1", "id-2", "id-3", "id-4", "id-5"]


def test_an_old_batch_does_not_move_the_offset_back(store):
    store.put(batch(1, 5), spool_id="s", first=1, last=5)
    assert store.put(batch(1, 2), spool_id="s", first=1, last=2) == 5


def test_each_spool_has_its_own_numbers(store):
    store.put(batch(1, 2), spool_id="a", first=1, last=2)
    store.put(batch(3, 4), spool_id="b", first=1, last=2)
    assert ids(store) == ["id-1", "id-2", "id-3", "id-4"]


def test_numbers_that_do_not_fit_the_rows_are_refused(store):
    with pytest.raises(QueryRejected, match="do not fit"):
        store.put(batch(1, 3), spool_id="s", first=1, last=2)
    assert ids(store) == []


def test_rows_of_another_shape_are_refused_and_the_offset_stays(store):
    with pytest.raises(QueryRejected, match="not rows of requests"):
        store.put(pa.table({"id": ["x"]}), spool_id="s", first=1, last=1)
    assert store.put(batch(1, 1), spool_id="s", first=1, last=1) == 1


def test_a_missing_value_undoes_the_whole_batch(store):
    rows = batch(1, 2)
    index = rows.schema.get_field_index("provider")
    field = pa.field("provider", pa.string())
    rows = rows.set_column(index, field, pa.array(["anthropic", None]))
    with pytest.raises(QueryRejected):
        store.put(rows, spool_id="s", first=1, last=2)
    assert ids(store) == []
    assert store.sql("SELECT count(*) FROM usage_minute").item() == 0


def test_records_come_encoded_too(store):
    records = [record(number) for number in range(1, 4)]
    encoded = encoded_table([msgspec.msgpack.encode(each) for each in records])
    assert store.put(encoded, spool_id="s", first=1, last=3) == 3
    assert store.put(encoded, spool_id="s", first=1, last=3) == 3
    assert store.sql("SELECT id FROM requests ORDER BY id").get_column("id").to_list() == [each.id for each in records]
    with pytest.raises(QueryRejected, match="a record cannot be read"):
        store.put(encoded_table([b"no"]), spool_id="s", first=4, last=4)
