"""What a proxy finds when it begins: after a kill, with a lost file, with the store away, beside dead siblings."""

import shutil

import pytest

from data.counters import books, reports
from data.counters.rows import Document
from data.model import Outcome
from proxy.budget.documents import learn
from proxy.budget.reservation import Refusal, Reservation, Why
from proxy.budget.siblings import Siblings
from tests.proxy.budget_worlds import ALL, DOLLAR, NOON, SECOND, Proxy, begin_counting, budget, documents, proxy, usd
from tests.proxy.spool_samples import ended, started, until


def spent(at: Proxy, number: int = 1) -> int:
    at.budgets.tick(NOON)
    assert at.budgets.file is not None
    return sum(group.spent for group in reports.groups(at.budgets.file, number, ALL, 100))


def leased(at: Proxy, number: int = 1) -> int:
    """What is taken once nobody has asked for a while."""
    at.budgets.tick(NOON + 2 * SECOND)
    assert at.budgets.file is not None
    return sum(group.leased for group in reports.groups(at.budgets.file, number, ALL, 100))


def test_what_was_settled_and_not_folded_is_found_in_the_spool(home):
    begin_counting(home, [budget()])
    at = Proxy(home)
    at.spend(300_000_000, worst=400_000_000)
    at.budgets.tick(NOON)
    at.spend(200_000_000, worst=400_000_000)
    at.die()
    with proxy(home) as again:
        assert spent(again) == 500_000_000
        assert leased(again) == 0
    with proxy(home) as third:
        assert spent(third) == 500_000_000


def test_a_call_in_flight_counts_at_what_was_held_for_it(home):
    begin_counting(home, [budget()])
    at = Proxy(home)
    start = started()
    held = at.reserve(start, 400_000_000)
    assert isinstance(held, Reservation)
    at.begin(start, held)
    at.die()
    with proxy(home) as again:
        assert spent(again) == 400_000_000
        ((_, (record,)),) = [again.spool.read(0, 10)]
        assert (record.outcome, record.liability_usd) == (Outcome.INTERRUPTED, usd(400_000_000))


def test_a_call_that_was_held_and_never_written_down_leaves_nothing(home):
    begin_counting(home, [budget()])
    at = Proxy(home)
    at.reserve(started(), 400_000_000)
    at.die()
    with proxy(home) as again:
        assert (spent(again), leased(again)) == (0, 0)


def test_a_record_that_nobody_settled_is_counted_from_the_spool(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        at.spool.end(ended(cost_usd=usd(70_000_000), ended_at=NOON))
        until(lambda: at.spool.read(0, 1)[1])
        at.spend(5_000_000)
        assert spent(at) == 75_000_000


def test_a_record_that_is_settled_late_counts_once(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        start = started()
        held = at.reserve(start, 100_000_000)
        assert isinstance(held, Reservation)
        record = ended(start.id, cost_usd=usd(70_000_000), ended_at=NOON)
        sequence = at.spool.end(record)
        until(lambda: at.spool.read(0, 1)[1])
        assert spent(at) == 70_000_000
        at.budgets.settle(held, record, sequence)
        assert spent(at) == 70_000_000
        assert leased(at) == 0


def test_a_record_that_was_read_and_could_not_be_folded_counts_once_when_it_is_settled(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        start = started()
        held = at.reserve(start, 100_000_000)
        assert isinstance(held, Reservation)
        record = ended(start.id, cost_usd=usd(70_000_000), ended_at=NOON)
        sequence = at.spool.end(record)
        until(lambda: at.spool.read(0, 1)[1])
        assert at.budgets.file is not None
        at.budgets.file._connection.execute("PRAGMA query_only = ON")
        at.budgets.tick(NOON)
        at.budgets.settle(held, record, sequence)
        at.budgets.file._connection.execute("PRAGMA query_only = OFF")
        assert spent(at) == 70_000_000
        assert leased(at) == 0


def test_a_dead_siblings_money_is_free_again_but_for_its_calls_in_flight(home):
    begin_counting(home, [budget()])
    dead = Proxy(home, "proxy-2")
    dead.spend(100_000_000)
    start = started()
    held = dead.reserve(start, 50_000_000)
    assert isinstance(held, Reservation)
    dead.begin(start, held)
    with proxy(home) as at:
        siblings = Siblings(home / "spool", at.spool.spool_id)
        file = at.budgets.file
        assert file is not None
        assert siblings.sweep(file, NOON) == []  # it is alive
        dead.die()
        assert siblings.sweep(file, NOON) == [dead.spool.spool_id]
        assert (spent(at), leased(at)) == (100_000_000, 50_000_000)
        assert siblings.sweep(file, NOON) == []  # nothing is new
        with proxy(home, "proxy-2") as again:
            assert (spent(again), leased(again)) == (150_000_000, 0)


def test_a_lost_spool_counts_as_if_all_that_was_taken_had_been_spent(home):
    begin_counting(home, [budget()])
    dead = Proxy(home, "proxy-2")
    dead.spend(100_000_000)
    dead.die()
    shutil.rmtree(home / "spool" / "proxy-2")
    with proxy(home) as at:
        assert at.budgets.file is not None
        taken = leased(at)
        assert taken >= 100_000_000
        Siblings(home / "spool", at.spool.spool_id).sweep(at.budgets.file, NOON)
        assert (spent(at), leased(at)) == (taken, 0)


def lose(home) -> None:
    for path in home.glob("budgets.sqlite*"):
        path.unlink()


@pytest.mark.parametrize("damaged", [False, True])
def test_with_the_counters_lost_and_the_store_away_hard_budgets_are_closed(home, damaged):
    begin_counting(home, [budget("hard"), budget("soft", enforcement="soft", scope={"kind": "user", "value": "ann"})])
    lose(home)
    if damaged:
        (home / "budgets.sqlite").write_bytes(b"garbage" * 1000)
    with proxy(home) as at:
        refused = at.reserve(started(), 1)
        assert isinstance(refused, Refusal)
        assert (refused.why, refused.status, refused.should_retry) == (Why.UNKNOWN, 503, True)
        assert "'hard'" in refused.message
        assert "'hard'" in at.budgets.trouble


def test_or_open_where_that_was_chosen_and_it_shows(home):
    begin_counting(home, [budget("hard")])
    lose(home)
    with proxy(home, on_outage="open") as at:
        held = at.reserve(started(), 1)
        assert isinstance(held, Reservation)
        assert "'hard' is not known" in held.headers["x-claude-proxy-budget-warning"]
        assert "'hard'" in at.budgets.trouble


def test_a_budget_that_was_only_just_made_is_let_be_until_it_is_counted(home):
    begin_counting(home, [])
    with proxy(home) as at:
        assert at.budgets.file is not None
        learn(at.budgets.file, documents([budget()]), NOON)
        at.budgets.tick(NOON)
        assert at.budgets.active
        assert isinstance(at.reserve(started(), 1, NOON + SECOND), Reservation)
        assert isinstance(at.reserve(started(), 1, NOON + 11 * SECOND), Refusal)


def test_counters_that_cannot_be_written_close_hard_budgets_and_open_when_they_can_be_again(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        assert at.budgets.file is not None
        at.budgets.file._connection.execute("PRAGMA query_only = ON")
        refused = at.reserve(started(), 1)
        assert isinstance(refused, Refusal)
        assert refused.why is Why.UNKNOWN
        assert at.budgets.trouble
        at.budgets.file._connection.execute("PRAGMA query_only = OFF")
        assert isinstance(at.reserve(started(), 1), Reservation)
        at.budgets.tick(NOON)
        assert at.budgets.trouble == ""


def test_open_budgets_count_what_was_spent_while_the_counters_could_not_be_written(home):
    begin_counting(home, [budget()])
    with proxy(home, on_outage="open") as at:
        assert at.budgets.file is not None
        at.budgets.file._connection.execute("PRAGMA query_only = ON")
        assert isinstance(at.spend(300_000_000), Reservation)
        at.budgets.tick(NOON)
        at.budgets.file._connection.execute("PRAGMA query_only = OFF")
        assert spent(at) == 300_000_000
        assert leased(at) == 0


def test_a_file_that_vanishes_under_a_running_proxy_is_made_anew(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        at.spend(1)
        lose(home)
        at.budgets.tick(NOON)
        assert (home / "budgets.sqlite").exists()
        assert isinstance(at.reserve(started(), 1), Refusal)  # what was spent is not known


def test_a_home_where_no_file_can_be_made_still_serves_without_budgets(home):
    (home / "budgets.sqlite").mkdir()
    with proxy(home) as at:
        assert at.budgets.trouble
        assert isinstance(at.reserve(started(), 1), Reservation)
        at.budgets.tick(NOON)


def test_a_document_that_cannot_be_read_is_told_and_the_others_hold(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        assert at.budgets.file is not None
        learn(at.budgets.file, [*documents([budget()]), Document("odd", 1, '{"name": "odd"}')], 0)
        at.budgets.tick(NOON)
        assert "odd" in at.budgets.trouble
        assert isinstance(at.reserve(started(), 2 * DOLLAR), Refusal)


def test_a_change_of_the_amount_holds_at_once_and_keeps_what_was_spent(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        at.spend(400_000_000)
        assert at.budgets.file is not None
        less = budget(amount_usd="0.5")
        learn(at.budgets.file, [Document("all", 2, less.model_dump_json())], NOON)
        refused = at.reserve(started(), 200_000_000)
        assert isinstance(refused, Refusal)
        assert "$0.4000 of $0.5000 spent" in refused.message


def test_a_budget_that_turns_hard_knows_what_is_in_flight(home):
    begin_counting(home, [budget(enforcement="soft")])
    with proxy(home) as at:
        held = at.reserve(started(), 900_000_000)
        assert at.budgets.file is not None
        learn(at.budgets.file, [Document("all", 2, budget().model_dump_json())], NOON)
        at.budgets.tick(NOON)
        assert isinstance(at.reserve(started(), 200_000_000), Refusal)
        assert isinstance(held, Reservation)


def test_calls_in_flight_survive_the_end_of_their_budget(home):
    begin_counting(home, [budget(), budget("other", scope={"kind": "user", "value": "ann"})])
    with proxy(home) as at:
        start = started(user="ann")
        held = at.reserve(start, 500_000_000)
        assert isinstance(held, Reservation)
        assert at.budgets.file is not None
        learn(at.budgets.file, documents([budget()]), NOON)
        at.budgets.tick(NOON)
        at.end(held, ended(start.id, cost_usd=usd(100_000_000), ended_at=NOON, user="ann"))
        assert spent(at) == 100_000_000
        assert leased(at) == 0


def test_the_spool_keeps_what_is_not_folded_though_the_store_has_it(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:

        def segments() -> int:
            return len(list((home / "spool" / "proxy-1").glob("segment-*")))

        for _ in range(400):
            at.spend(1)
        assert segments() > 2
        until(lambda: len(at.spool.read(0, 500)[1]) == 400)
        at.spool.acknowledged(390)
        assert segments() > 2
        at.budgets.tick(NOON)
        at.keeper.sync()
        at.spool.acknowledged(400)
        assert segments() == 1


def test_the_floor_does_not_hold_back_a_spool_without_budgets(home):
    with proxy(home) as at:
        for _ in range(400):
            at.spend(1)
        until(lambda: len(at.spool.read(0, 500)[1]) == 400)
        at.budgets.tick(NOON)
        at.keeper.sync()
        at.spool.acknowledged(400)
        assert len(list((home / "spool" / "proxy-1").glob("segment-*"))) == 1


def test_thresholds_are_told_once_a_period_also_after_a_restart(home, caplog):
    begin_counting(home, [budget("watched", period="hour", thresholds=[50, 80])])

    def told() -> list[str]:
        found = [record.threshold for record in caplog.records if hasattr(record, "threshold")]
        caplog.clear()
        return found

    with proxy(home) as at:
        at.spend(500_000_000)
        at.budgets.tick(NOON)
        assert told() == ["50%"]
        at.spend(50_000_000)
        at.budgets.tick(NOON)
        assert told() == []
    with proxy(home) as at:
        at.spend(260_000_000, now_us=NOON + 600 * SECOND)
        at.budgets.tick(NOON + 600 * SECOND)
        assert told() == ["80%", "forecast"]
        at.spend(900_000_000, now_us=NOON + 3600 * SECOND)
        at.budgets.tick(NOON + 3600 * SECOND)
        assert told() == ["50%", "80%"]


def test_many_counters_are_forgotten_when_nobody_asks(home):
    begin_counting(home, [budget("sessions", scope={"kind": "session", "value": "*"})])
    with proxy(home) as at:
        for n in range(50):
            at.spend(1, session=f"s{n}")
        at.budgets.tick(NOON)
        at.budgets.tick(NOON + 2 * SECOND)
        (plan,) = at.budgets.plans.all
        assert len(plan.counters) == 50
        at.budgets.forget(NOON + SECOND)
        assert plan.counters == {}
        assert spent(at) == 50
        assert isinstance(at.spend(1, session="s1"), Reservation)
        assert spent(at) == 51


def test_books_know_nothing_of_a_proxy_that_never_was(home):
    begin_counting(home, [])
    with proxy(home) as at:
        assert at.budgets.file is not None
        assert books.folded(at.budgets.file) == {at.spool.spool_id: 0}
