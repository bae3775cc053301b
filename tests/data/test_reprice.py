"""The past at today's prices."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import reprice as module
from data.config import PriceOverride
from data.errors import ConflictError
from data.model import CostStatus, Protocol
from data.pricing import LIST_SOURCE, PriceBook
from data.records import record_table
from data.reprice import Wanted, reprice, repriced
from tests.data.ledger import NOON, record
from tests.data.test_corrections import put, sums_agree

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OVERRIDES = (PriceOverride("house-*", Decimal(2), Decimal(10)),)
NO_TOOLS = "no price for 2 tool calls"


def unpriced(number, **changes):
    values = {
        "model": "house-1",
        "uncached_input_tokens": 1_000,
        "cache_read_tokens": 0,
        "cache_write_5m_tokens": 0,
        "output_tokens": 100,
        "cost_usd": None,
        "cost_status": CostStatus.UNPRICED,
    }
    return record(number, **(values | changes))


#: 1,000 tokens at $2 and 100 at $10 a million
COST = Decimal("0.003")


def run(store, wanted=Wanted(), overrides=OVERRIDES, **options):  # noqa: B008 - frozen
    prices = PriceBook(overrides)
    return reprice(store, prices, wanted, protocols={}, now=NOW, actor="test", **options)


def rows(store, *names):
    return store.sql(f"SELECT {', '.join(names)} FROM requests ORDER BY id").rows()


def test_rows_without_a_price_get_one_and_the_rollups_follow(store):
    put(store, [unpriced(1), unpriced(2), unpriced(3, model="nobody's")])
    result = run(store)
    assert rows(store, "cost_usd", "cost_status", "price_source") == [
        (COST, "exact", "override"),
        (COST, "exact", "override"),
        (None, "unpriced", ""),
    ]
    assert sums_agree(store)
    found = {name: (m.rows, m.old_usd, m.new_usd, m.unknown) for name, m in result.models.items()}
    assert found == {"house-1": (2, 0, 2 * COST, 0), "nobody's": (0, 0, 0, 1)}
    assert result.examined == 3


def test_a_second_run_changes_nothing(store):
    put(store, [unpriced(1)])
    run(store)
    before = store.sql("SELECT count(*) FROM usage_minute").item()
    assert not run(store, Wanted(everything=True)).models["house-1"].rows
    assert store.sql("SELECT count(*) FROM usage_minute").item() == before
    assert store.sql("SELECT count(*) FROM audit_log").item() == 1


def test_a_dry_run_says_the_same_and_changes_nothing(store):
    put(store, [unpriced(1)])
    sums = run(store, dry_run=True).models["house-1"]
    assert (sums.rows, sums.new_usd) == (1, COST)
    assert rows(store, "cost_usd") == [(None,)]
    assert store.sql("SELECT count(*) FROM audit_log").item() == 0


def test_who_repriced_what_is_written_down(store):
    put(store, [unpriced(1), unpriced(2)])
    run(store)
    entry = store.sql("SELECT actor, action, object_kind, detail FROM audit_log").row(0, named=True)
    assert orjson.loads(entry.pop("detail")) == {
        "rows": 2,
        "old_usd": "0",
        "new_usd": "0.006000000",
        "price_sources": ["override"],
    }
    assert entry == {"actor": "test", "action": "repriced", "object_kind": "requests"}


def test_by_default_a_price_that_is_known_stays(store):
    put(store, [unpriced(1, cost_usd=Decimal(9), cost_status="exact", price_source="old list")])
    assert run(store).examined == 0
    assert rows(store, "cost_usd") == [(Decimal(9),)]


def test_everything_is_repriced_on_demand(store):
    put(store, [unpriced(1, cost_usd=Decimal(9), cost_status="exact", price_source="old list")])
    sums = run(store, Wanted(everything=True)).models["house-1"]
    assert (sums.old_usd, sums.new_usd) == (Decimal(9), COST)
    assert rows(store, "cost_usd", "price_source") == [(COST, "override")]
    assert sums_agree(store)


@pytest.mark.parametrize(
    "row",
    [
        unpriced(1, cost_usd=Decimal(0), cost_status="exact", endpoint="count_tokens"),
        unpriced(1, cost_usd=Decimal(9), cost_status="exact", price_source="old", model="gone"),
        unpriced(1, uncached_input_tokens=0, output_tokens=0),
        unpriced(1, ended_at=3 * 10**17),
    ],
    ids=["free", "no price any more", "no counts", "the year 11476"],
)
def test_what_stays_as_it_is(store, row):
    put(store, [row])
    run(store, Wanted(everything=True))
    assert rows(store, "cost_usd", "cost_status") == [(row.cost_usd, row.cost_status)]


def test_time_and_model_narrow_it_down(store):
    put(
        store,
        [
            unpriced(1),
            unpriced(2, model="house-2"),
            unpriced(3, at=NOON - timedelta(microseconds=1)),
        ],
    )
    run(store, Wanted(since=NOON, model="house-[1]"))
    assert rows(store, "cost_usd") == [(COST,), (None,), (None,)]


def test_years_are_repriced_week_by_week(store):
    weeks = [NOON + timedelta(days=7 * n) for n in (0, 1, 2, 60, 61)]
    put(store, [unpriced(n, at=at) for n, at in enumerate(weeks)])
    assert run(store).models["house-1"].rows == 5
    assert rows(store, "cost_usd") == [(COST,)] * 5
    assert sums_agree(store)


def test_the_price_is_that_of_the_day_the_call_ended(store):
    counts = {"model": "o3", "provider": "openai", "protocol": "openai", "uncached_input_tokens": 10**6}
    changed = datetime(2025, 6, 10, tzinfo=UTC)
    put(
        store,
        [
            unpriced(1, at=changed - timedelta(seconds=1), output_tokens=0, **counts),
            unpriced(2, at=changed, output_tokens=0, **counts),
        ],
    )
    run(store, overrides=())
    assert rows(store, "cost_usd", "price_source") == [(Decimal(10), LIST_SOURCE), (Decimal(2), LIST_SOURCE)]


def test_a_providers_own_protocol_decides_the_price():
    row = {
        **dict.fromkeys(("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"), 0),
        **dict.fromkeys(("service_tier", "speed", "inference_geo", "cost_note", "price_source"), ""),
        "id": "a",
        "ended_at": NOON,
        "provider": "gateway",
        "protocol": "anthropic",
        "model": "gpt-5",
        "uncached_input_tokens": 10**6,
        "output_tokens": 0,
        "reasoning_tokens": 0,
        "tool_units": 0,
        "cost_usd": None,
        "cost_status": "unpriced",
    }
    assert repriced(row, PriceBook(), {}) is None
    assert repriced(row, PriceBook(), {"gateway": Protocol.OPENAI})["cost_usd"] == Decimal("1.25")


@pytest.mark.parametrize(
    ("status", "note", "tools", "expected"),
    [
        ("unpriced", "", 0, ("exact", "")),
        ("unpriced", "cut off", 0, ("estimated", "cut off")),
        ("estimated", "cut off", 0, ("estimated", "cut off")),
        ("estimated", NO_TOOLS, 0, ("exact", "")),
        ("estimated", f"cut; {NO_TOOLS}", 0, ("estimated", "cut")),
        ("estimated", "", 0, ("estimated", "")),
        ("unpriced", "cut", 2, ("estimated", f"cut; {NO_TOOLS}")),
    ],
    ids=["plain", "broke off", "estimated stays so", "tools have a price now", "both", "without a word", "no price"],
)
def test_how_sure_the_new_cost_is(store, status, note, tools, expected):
    cost = None if status == "unpriced" else Decimal(5)
    put(
        store,
        [
            unpriced(
                1,
                protocol="openai",
                tool_units=tools,
                cost_usd=cost,
                cost_status=status,
                cost_note=note,
                price_source="" if cost is None else "old",
            )
        ],
    )
    run(store, Wanted(everything=True))
    assert rows(store, "cost_status", "cost_note") == [expected]
    assert sums_agree(store)


def test_rows_that_another_run_has_just_repriced_stop_this_one(store):
    put(store, [unpriced(1)])

    class Behind:
        """A store whose answers are older than what is in it."""

        def sql(self, *asked):
            return store.sql(*asked)

        def batches(self, *asked, **limits):
            answer = list(store.batches(*asked, **limits))
            run(store, overrides=(PriceOverride("*", Decimal(1), Decimal(1)),))
            return iter(answer)

        def transact(self, statements):
            return store.transact(statements)

    with pytest.raises(ConflictError):
        run(Behind())
    assert rows(store, "cost_usd") == [(Decimal("0.0011"),)]
    assert sums_agree(store)


def test_what_a_broken_run_has_left_is_done_by_the_next(store, monkeypatch):
    monkeypatch.setattr(module, "BATCH_ROWS", 10)
    put(store, [unpriced(n) for n in range(35)])
    seen = []

    def stop(result):
        seen.append(result.examined)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, progress=stop)
    assert store.sql("SELECT count(cost_usd) FROM requests").item() == 20
    assert sums_agree(store)
    assert run(store).models["house-1"].rows == 15
    assert sums_agree(store)


prices = st.integers(0, 50).map(Decimal)
histories = st.lists(
    st.tuples(
        st.sampled_from(["house-1", "house-2", "gpt-5", "nobody's"]),
        st.integers(0, 10**6),
        st.integers(0, 10**5),
        st.integers(0, 200_000),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)
#: Numbers over all examples, which share a store.
counter = iter(range(10**9))


@settings(max_examples=15)
@given(histories, st.lists(st.tuples(prices, prices), min_size=1, max_size=3))
def test_rollups_equal_requests_after_any_prices(loaded, history, lists):
    """The known ledger of the module gets more rows, which are repriced with one list after another."""
    first = next(counter) * 1_000 + 1
    records = [
        unpriced(
            10_000 + first + number,
            model=model,
            provider="p",
            protocol="openai",
            uncached_input_tokens=read,
            output_tokens=written,
            at=NOON + timedelta(seconds=seconds),
            cost_usd=Decimal(1) if known else None,
            cost_status="exact" if known else "unpriced",
            price_source="old" if known else "",
        )
        for number, (model, read, written, seconds, known) in enumerate(history)
    ]
    loaded.put(record_table(records), spool_id=f"more-{first}", first=1, last=len(records))
    for dollars_in, dollars_out in lists:
        overrides = (PriceOverride("house-*", dollars_in, dollars_out),)
        run(loaded, Wanted(everything=True), overrides)
        assert sums_agree(loaded)
    book = PriceBook(overrides)
    for row in records:
        found = loaded.sql("SELECT cost_usd FROM requests WHERE id = ?", [row.id]).item()
        tokens = module.tokens_of({name: getattr(row, name) for name in row.__struct_fields__})
        at = datetime.fromtimestamp(row.ended_at / 1e6, UTC)
        new = book.price(provider="p", protocol="openai", model=row.model, tokens=tokens, at=at).cost_usd
        expected = row.cost_usd if new is None or not (tokens.input or tokens.output) else new
        assert found == expected


def test_what_was_served_within_the_united_states_keeps_its_tenth(store):
    counts = {"model": "claude-opus-4-6", "inference_geo": "us", "uncached_input_tokens": 1_000}
    dearer = Decimal("0.00825")  # 1,000 x 5 + 100 x 25 a million, and a tenth
    put(store, [unpriced(1, **counts, cost_usd=dearer, cost_status="exact", price_source=LIST_SOURCE)])
    assert not run(store, Wanted(everything=True)).models["claude-opus-4-6"].rows
    assert rows(store, "cost_usd") == [(dearer,)]
