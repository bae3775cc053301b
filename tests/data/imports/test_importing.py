"""Session logs in the ledger: each call once."""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import PriceOverride
from data.errors import ImportFailed, StoreUnavailable
from data.imports import importing, log_files, scratch
from data.imports.importing import Wanted, import_logs
from data.imports.rows import NO_END, Labels, Rows, row_id
from data.model import Source
from data.pricing import PriceBook
from data.records import record_table
from tests.data.imports.logs import FIRST, OPUS, SECOND, assistant, copied, message_id, stamp, usage, user, write
from tests.data.ledger import record
from tests.data.test_corrections import sums_agree

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def run(store, place, *, now=NOW, labels=Labels(), prices=(), **wanted):  # noqa: B008 - frozen
    files = log_files.log_files(place)
    return import_logs(store, files, Rows(PriceBook(prices), labels), Wanted(**wanted), now=now)


def rows(store, *names, where="source = 'imported'", order="ended_at, model"):
    return store.sql(f"SELECT {', '.join(names)} FROM requests WHERE {where} ORDER BY {order}").rows()


#: Costs worked out by hand, US dollars a million tokens: Opus 4.5 5/25, cache read 0.5, 5-minute write 6.25, 1-hour
#: write 10; Haiku 4.5 1/5, 5-minute write 1.25; Opus 4 15/75, 5-minute write 18.75; a search 0.01.
#: On Bedrock, a tenth more: Opus 5 5.5/27.5, read 0.55, 1-hour write 11; Fable 5 11/55.
EXPECTED = [
    # 100 x 15 + 1,000 x 18.75 + 50 x 75
    ("claude-opus-4-20250514", "0.024", "exact"),
    # 10 x 15 + 10 x 75
    ("claude-opus-4-20250514", "0.0009", "exact"),
    # 4 x 5 + 12,000 x 10 + 420 x 25
    (OPUS, "0.13052", "exact"),
    # 10 x 5 + 12,000 x 0.5 + 300 x 6.25 + 90 x 25 + two searches
    (OPUS, "0.030175", "exact"),
    # 1,000 x 1 + 2,000 x 1.25 + 200 x 5
    ("claude-haiku-4-5-20251001", "0.0045", "exact"),
    # 3 x 5 + 12,300 x 0.5 + 1 x 25
    (OPUS, "0.00619", "estimated"),
    # 20 x 5 + 12,390 x 0.5 + 40 x 10 + 1,000 x 25
    (OPUS, "0.031695", "exact"),
    # 1,000 x 11 + 100 x 55
    ("claude-fable-5", "0.0165", "exact"),
    # 6 x 5.5 + 30,000 x 0.55 + 500 x 11 + 300 x 27.5
    ("claude-opus-5", "0.030283", "exact"),
    ("house-1", None, "unpriced"),
    ("house-1", None, "unpriced"),
]
TOTAL = sum(Decimal(cost) for _, cost, _ in EXPECTED if cost)


def test_every_call_of_the_logs_is_in_the_ledger_once_at_its_price(store, tmp_path):
    done = run(store, copied(tmp_path))
    found = rows(store, "model", "cost_usd", "cost_status")
    assert found == [(model, cost and Decimal(cost), status) for model, cost, status in EXPECTED]
    assert sums_agree(store)
    assert (done.files, done.lines, done.mentions, done.calls, done.repeated) == (5, 41, 23, 10, 13)
    assert (done.added, done.known, done.corrected, done.live, done.waiting) == (11, 0, 0, 0, 0)
    assert (done.synthetic, done.endless, done.cost_usd) == (1, 1, TOTAL)
    assert {model: (sums.rows, sums.unpriced) for model, sums in done.models.items()} == {
        OPUS: (4, 0),
        "claude-haiku-4-5-20251001": (1, 0),
        "claude-opus-4-20250514": (2, 0),
        "claude-opus-5": (1, 0),
        "claude-fable-5": (1, 0),
        "house-1": (2, 2),
    }


def test_lines_that_cannot_be_read_are_told_and_stop_nothing(store, tmp_path):
    done = run(store, copied(tmp_path))
    # the last line, which is still being written, is none of them
    assert done.broken_lines == 3
    assert [(path.name, line) for path, line in done.broken] == [(f"{SECOND}.jsonl", line) for line in (11, 12, 14)]


def test_who_a_call_belongs_to(store, tmp_path):
    run(store, copied(tmp_path))
    names = ("project", "session", "agent", "user_agent", "tags", "provider", "stop_reason")
    found = rows(store, *names, where=f"model = '{OPUS}'")
    branch = '{"branch":"feature/login"}'
    cli = "claude-code/2.1.209"
    assert found == [
        ("apollo", FIRST, "", cli, branch, "anthropic", "tool_use"),
        ("apollo", FIRST, "", cli, branch, "anthropic", "end_turn"),
        ("apollo", FIRST, "", cli, branch, "anthropic", ""),
        ("apollo", SECOND, "", cli, '{"branch":"main"}', "anthropic", "end_turn"),
    ]
    assert rows(store, "session", "agent", where="model LIKE '%haiku%'") == [(FIRST, "a903a11b800810642")]
    assert rows(store, "agent", "duration_ms", where="model = 'claude-opus-4-20250514'") == [
        ("", 8_000.0),
        ("sidechain", 51_000.0),
    ]
    shop = rows(store, "project", "provider", "tags", "model", where="session = 'bob-session'")
    assert shop[:3] == [
        ("shop", "bedrock", '{"iteration":"advisor_message"}', "claude-fable-5"),
        ("shop", "bedrock", "{}", "claude-opus-5"),
        ("shop", "anthropic", "{}", "house-1"),
    ]


def test_a_call_that_another_model_took_over_is_that_ones_and_paid_for_as_such(store, tmp_path):
    haiku = "claude-haiku-4-5-20251001"
    declined = {"type": "message", "model": OPUS, "input_tokens": 1000, "output_tokens": 100}
    took_over = {"type": "fallback_message", "model": haiku, "input_tokens": 1100, "output_tokens": 50}
    whole = usage(1100, 50, iterations=[declined, took_over])
    first, last = assistant(1, usage=usage(1100, 1)), assistant(1, usage=whole, uuid="a-1b")
    write(tmp_path / "projects" / "-home-ann-apollo" / "one.jsonl", user(1), first, last)
    done = run(store, tmp_path / "projects")
    assert (done.calls, done.added) == (1, 2)
    # 1,100 x 1 + 50 x 5, and beside it 1,000 x 5 + 100 x 25
    assert rows(store, "model_requested", "model", "uncached_input_tokens", "output_tokens", "cost_usd", "tags") == [
        (OPUS, haiku, 1100, 50, Decimal("0.00135"), '{"branch":"main"}'),
        (OPUS, OPUS, 1000, 100, Decimal("0.0075"), '{"branch":"main","iteration":"message"}'),
    ]


def test_how_long_a_call_took_follows_from_the_line_before(store, tmp_path):
    run(store, copied(tmp_path))
    assert rows(store, "duration_ms", where=f"model = '{OPUS}'") == [(9_000.0,), (6_250.0,), (93_000.0,), (8_000.0,)]


def test_a_copied_message_belongs_to_the_session_that_was_written_first(store, tmp_path):
    run(store, copied(tmp_path, older=SECOND))
    # the copies that say where they come from keep saying so
    assert rows(store, "session", where=f"provider_request_id LIKE '%000001' AND model = '{OPUS}'") == [(SECOND,)]


def test_no_prompt_no_answer_and_no_path_is_stored(store, tmp_path):
    run(store, copied(tmp_path))
    text = str(store.sql("SELECT * FROM requests").rows())
    for secret in ("login", "/home/ann", "renewed", "Users"):
        assert secret not in text.replace("feature/login", "")


def test_labels_are_on_every_row(store, tmp_path):
    labels = Labels(user="ann", team="blue", provider="gateway", full_paths=True)
    run(store, copied(tmp_path), labels=labels)
    assert set(rows(store, '"user"', "team", "provider", order="1")) == {("ann", "blue", "gateway")}
    assert {project for (project,) in rows(store, "project")} == {
        "/home/ann/code/apollo",
        "/home/ann/code/apollo/web",
        "C:\\Users\\bob\\shop",
    }


def test_importing_again_adds_nothing(store, tmp_path):
    place = copied(tmp_path)
    run(store, place)
    before = rows(store, "*")
    done = run(store, place)
    assert (done.added, done.known, done.corrected, done.cost_usd) == (0, 11, 0, 0)
    assert rows(store, "*") == before
    assert sums_agree(store)


def test_a_dry_run_says_what_would_be_added_and_stores_nothing(store, tmp_path):
    place = copied(tmp_path)
    dry = run(store, place, dry_run=True)
    assert store.sql("SELECT count(*) FROM requests").item() == 0
    assert dry == run(store, place)


def test_time_narrows_it_down(store, tmp_path):
    done = run(store, copied(tmp_path), since=datetime(2026, 3, 2, 10, 4, tzinfo=UTC))
    assert done.early == 5
    assert [cost for _, cost in rows(store, "model", "cost_usd")] == [
        cost and Decimal(cost) for _, cost, _ in EXPECTED[5:]
    ]


def test_a_file_last_written_before_the_time_asked_for_is_not_read(store, tmp_path):
    old, new = write(tmp_path / "old.jsonl", assistant(1)), write(tmp_path / "new.jsonl", assistant(2))
    os.utime(old, (1000, 1000))
    os.utime(new, (5000, 5000))
    done = run(store, tmp_path, since=datetime.fromtimestamp(2000, UTC))
    assert (done.files, done.lines, done.calls) == (2, 1, 1)


def test_a_call_that_may_still_be_going_on_waits(store, tmp_path):
    log = write(tmp_path / "s.jsonl", user(5), assistant(5, stop_reason=None, usage=usage(100, 2)))
    done = run(store, tmp_path, now=datetime(2026, 3, 1, 12, 15, 4, tzinfo=UTC))
    assert (done.waiting, done.added) == (1, 0)

    write(log, assistant(5, timestamp=stamp(9)))
    done = run(store, tmp_path, now=datetime(2026, 3, 1, 12, 15, 8, tzinfo=UTC))
    assert (done.waiting, done.added) == (1, 0)

    done = run(store, tmp_path, now=datetime(2026, 3, 1, 12, 15, 9, tzinfo=UTC))
    assert (done.waiting, done.added, done.endless) == (0, 1, 0)
    assert rows(store, "output_tokens", "cost_status") == [(10, "exact")]


def test_a_row_whose_call_turns_out_to_be_larger_is_corrected(store, tmp_path):
    write(tmp_path / "a.jsonl", user(5), assistant(5, stop_reason=None, usage=usage(100, 2)))
    done = run(store, tmp_path)
    assert (done.added, done.endless) == (1, 1)
    assert rows(store, "cost_note") == [(NO_END,)]

    write(tmp_path / "b.jsonl", assistant(5, usage=usage(100, 90, server_tool_use={"web_search_requests": 1})))
    done = run(store, tmp_path)
    # 88 more tokens at $25 a million, and a search
    assert (done.added, done.known, done.corrected, done.cost_usd) == (0, 1, 1, Decimal("0.0122"))
    names = ("output_tokens", "tool_units", "cost_usd", "cost_status", "cost_note", "stop_reason", "duration_ms")
    assert rows(store, *names) == [(90, 1, Decimal("0.01275"), "exact", "", "end_turn", 1_000.0)]
    assert sums_agree(store)
    assert run(store, tmp_path).corrected == 0


def test_an_end_that_is_found_later_makes_an_estimate_exact(store, tmp_path):
    write(tmp_path / "a.jsonl", assistant(5, stop_reason=None))
    run(store, tmp_path)
    write(tmp_path / "b.jsonl", assistant(5))
    assert run(store, tmp_path).corrected == 1
    assert rows(store, "cost_status", "stop_reason") == [("exact", "end_turn")]
    assert sums_agree(store)


def test_logs_that_tell_less_than_the_ledger_change_nothing(store, tmp_path):
    write(tmp_path / "whole" / "a.jsonl", assistant(5))
    write(tmp_path / "cut" / "a.jsonl", assistant(5, stop_reason=None, usage=usage(100, 2)))
    run(store, tmp_path / "whole")
    assert run(store, tmp_path / "cut").corrected == 0
    assert rows(store, "output_tokens") == [(10,)]


def test_a_call_that_went_through_the_proxy_is_left_out(store, tmp_path):
    at = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
    live = record(1, at=at, provider_request_id="req_5")
    demo = record(2, at=at, provider_request_id="req_6", source=Source.DEMO)
    store.put(record_table([live, demo]), spool_id="proxy", first=1, last=2)
    write(tmp_path / "s.jsonl", assistant(5), assistant(6))
    done = run(store, tmp_path)
    assert (done.live, done.added) == (1, 1)
    assert rows(store, "provider_request_id") == [("req_6",)]


def test_without_the_providers_id_a_call_is_known_by_its_session_and_counts(store, tmp_path):
    live = record(1, at=datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC), session="session", uncached_input_tokens=60)
    live = msgspec.structs.replace(live, cache_read_tokens=40, cache_write_5m_tokens=0, output_tokens=10)
    store.put(record_table([live]), spool_id="proxy", first=1, last=1)
    same = assistant(5, requestId=None, usage=usage(60, 10, cache_read_input_tokens=40))
    other = assistant(6, requestId=None, usage=usage(60, 11, cache_read_input_tokens=40))
    elsewhere = assistant(7, requestId=None, usage=usage(100, 10), sessionId="another")
    write(tmp_path / "s.jsonl", same, other, elsewhere)
    done = run(store, tmp_path)
    assert (done.live, done.added) == (1, 2)


def test_an_import_that_was_cut_off_is_completed_by_the_next(store, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_CALLS", 3)
    write(tmp_path / "s.jsonl", *(assistant(n) for n in range(1, 11)))

    class Failing:
        """A store that goes away after two batches."""

        puts = 0

        def __getattr__(self, name):
            return getattr(store, name)

        def put(self, *batch, **numbers):
            self.puts += 1
            if self.puts == 3:
                raise StoreUnavailable("gone")
            return store.put(*batch, **numbers)

    with pytest.raises(StoreUnavailable):
        run(Failing(), tmp_path)
    assert len(rows(store, "id")) == 6
    done = run(store, tmp_path)
    assert (done.added, done.known) == (4, 6)
    assert len({one for (one,) in rows(store, "id")}) == 10


def test_two_imports_of_the_same_logs_at_once_leave_each_call_once(store, tmp_path):
    write(tmp_path / "s.jsonl", *(assistant(n) for n in range(1, 6)))

    class Beside:
        """A store that another import fills just before this one does."""

        def __getattr__(self, name):
            return getattr(store, name)

        def put(self, *batch, **numbers):
            run(store, tmp_path)
            return store.put(*batch, **numbers)

    run(Beside(), tmp_path)
    assert len(rows(store, "id")) == 5
    assert sums_agree(store)


def test_a_row_that_was_deleted_does_not_come_back(store, tmp_path, running):
    write(tmp_path / "s.jsonl", assistant(5))
    run(store, tmp_path)
    with running.database.writing() as cursor:
        cursor.execute("DELETE FROM requests")
    done = run(store, tmp_path)
    assert (done.known, done.added, done.corrected) == (1, 0, 0)
    assert rows(store, "id") == []


def test_overrides_price_imported_calls_too(store, tmp_path):
    write(tmp_path / "s.jsonl", assistant(5, model="house-1"))
    done = run(store, tmp_path, prices=(PriceOverride("house-*", Decimal(10), Decimal(100)),))
    assert done.cost_usd == Decimal("0.002")
    assert rows(store, "price_source") == [("override",)]


def test_a_file_that_cannot_be_read_is_told_and_stops_nothing(store, tmp_path):
    write(tmp_path / "a.jsonl", assistant(1))
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "nowhere")
    done = run(store, tmp_path)
    assert done.added == 1
    assert [(path.name, reason) for path, reason in done.unreadable] == [("b.jsonl", "No such file or directory")]


def test_more_calls_than_are_held_in_memory(store, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "_HELD", 3)
    lines = [assistant(n % 20 + 1, usage=usage(100, n)) for n in range(60)]
    write(tmp_path / "s.jsonl", *lines)
    done = run(store, tmp_path)
    assert (done.calls, done.added, done.repeated) == (20, 20, 40)
    assert sorted(out for (out,) in rows(store, "output_tokens")) == list(range(40, 60))


def test_a_full_disk_is_told(store, tmp_path, monkeypatch):
    write(tmp_path / "s.jsonl", assistant(5))
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ImportFailed, match="TMPDIR"):
        run(store, tmp_path)


#: Numbers of messages over all examples, which share a store.
counter = iter(range(1, 10**9))
places = st.tuples(st.integers(0, 2), st.integers(0, 2))
messages = st.lists(
    st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans(), st.integers(0, 100)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25)
@given(messages, st.data())
def test_however_messages_are_spread_over_files_and_imports_the_ledger_is_the_same(loaded, told, data):
    """The lines of each message go, some of them several times, into three files that grow over three imports."""
    expected, rounds = {}, [[] for _ in range(3)]
    for outputs, ended, second in told:
        number = next(counter)
        lines = [
            assistant(number, usage=usage(100, out), stop_reason=None, timestamp=stamp(second))
            for out in sorted(outputs)
        ]
        lines[-1]["message"]["stop_reason"] = "end_turn" if ended else None
        cost = (100 * 5 + 25 * max(outputs)) / Decimal(10**6)
        status = ("end_turn", "exact") if ended else ("", "estimated")
        expected[row_id(message_id(number))] = (max(outputs), cost, *status)
        for line in lines:
            for turn, file in data.draw(st.lists(places, min_size=1, max_size=3)):
                rounds[turn].append((file, line))
    with tempfile.TemporaryDirectory() as folder:
        for lines in rounds:
            for file, line in data.draw(st.permutations(lines)):
                write(Path(folder) / f"{file}.jsonl", line)
            if any(Path(folder).iterdir()):
                run(loaded, Path(folder))
    names = "id, output_tokens, cost_usd, stop_reason, cost_status"
    found = loaded.sql(f"SELECT {names} FROM requests WHERE id IN (SELECT unnest(?))", [list(expected)]).rows()
    assert sorted(found) == sorted((one, *row) for one, row in expected.items())
    assert sums_agree(loaded)


def test_a_later_import_sees_what_an_earlier_one_has_stored_with_another_time(store, tmp_path):
    """A copy may carry another time; it is the same call all the same."""
    write(tmp_path / "a.jsonl", assistant(5))
    run(store, tmp_path)
    later = (datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=9)).isoformat()
    write(tmp_path / "b" / "b.jsonl", assistant(5, timestamp=later, usage=usage(100, 90)))
    done = run(store, tmp_path / "b")
    assert (done.added, done.known, done.corrected) == (0, 1, 0)
