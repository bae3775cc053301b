"""Batches under budgets by many callers: what they may cost and what was spent are together never over the limit."""

import random
from collections.abc import Iterator
from decimal import Decimal

import pytest

from data.counters import holds, reports
from data.counters.rows import BatchKey
from data.errors import CountersError
from data.model import CostStatus, Endpoint
from proxy.budget.batch_holds import BATCH_TAG, BatchHolds
from proxy.budget.reservation import Refusal, Why
from proxy.budget.upkeep import now_us
from proxy.budget.worst_case import BatchWorst
from proxy.hold import BatchHold
from proxy.record import Cost
from proxy.usage.usage import Usage
from tests.proxy.budget_worlds import ALL, DOLLAR, NOON, SECOND, Proxy, begin_counting, budget, proxy, usd
from tests.proxy.spool_samples import ended, started

CALLERS = 64
DAY = 24 * 3600 * SECOND
FREE = Cost(Decimal(0), CostStatus.EXACT)


class Provider:
    """What it charges is settled when a batch is made; each result costs its own."""

    def __init__(self) -> None:
        self.charged = 0
        self.made = 0

    def make(self, costs: list[int]) -> str:
        self.charged += sum(costs)
        self.made += 1
        return f"batch_{self.made}"


class Batch:
    """One batch of a provider, made through one proxy and read through another."""

    def __init__(self, chance: random.Random) -> None:
        worsts = [chance.randrange(DOLLAR // 100) for _ in range(chance.randint(1, 9))]
        self.worst = BatchWorst({"claude-x": sum(worsts)})
        self.costs = [chance.randint(0, worst) for worst in worsts]
        self.id = ""
        self.noted = 0  # results that were read and noted


def made(
    at: Proxy, batch: Batch, provider: Provider, now_us: int, *, rests: bool = False, **who: object
) -> Iterator[Refusal | None]:
    """Make a batch, in steps between which the proxy may die; `rests`: also before its row is written."""
    batches = BatchHolds(at.budgets)
    start = started(endpoint=Endpoint.BATCHES, **who)
    held = batches.reserve(start, batch.worst, now_us / SECOND)
    if isinstance(held, Refusal):
        yield held
        return
    hold = BatchHold(batches, held, batch.worst)
    start = hold.noted(start)
    at.spool.start(start)
    yield None
    number = provider.make(batch.costs)
    yield None
    assert hold.liability(start, Usage(response_id=number), FREE, billed=True, at_us=now_us) is None
    if rests:
        yield None
    record = ended(start.id, endpoint=Endpoint.BATCHES, cost_usd=Decimal(0), ended_at=now_us, **who)
    hold.settle(record, at.spool.end(record))
    batch.id = number


def read(at: Proxy, batch: Batch, now_us: int, **who: object) -> Iterator[None]:
    """Read a batch's results to their end; those that were noted before are not written again."""
    batches = BatchHolds(at.budgets)
    for index, cost in enumerate(batch.costs):
        if index >= batch.noted:
            tags = {BATCH_TAG: batch.id}
            record = ended(endpoint=Endpoint.BATCH_RESULT, cost_usd=usd(cost), ended_at=now_us, tags=tags, **who)
            batches.settle(record, at.spool.end(record))
            batch.noted += 1
            yield
    batches.end(BatchKey("anthropic", batch.id))


def standing(at: Proxy) -> tuple[int, int, int]:
    at.budgets.tick(NOON)
    (group,) = reports.groups(at.budgets.file, 1, ALL, 10) or [reports.Group("", 0, 0)]
    return group.spent, group.leased, group.batches


class Caller:
    """Makes a batch, has it read wherever a call comes, and makes the next one, until the money is gone."""

    def __init__(self, chance: random.Random) -> None:
        self.gone = False
        self.reads = False
        self._chance = chance
        self._steps: Iterator[Refusal | None] | Iterator[None] | None = None
        self._batch = Batch(chance)

    def step(self, at: Proxy, provider: Provider, now_us: int) -> None:
        if self._steps is None:
            reads = self.reads = bool(self._batch.id)
            self._steps = read(at, self._batch, now_us) if reads else made(at, self._batch, provider, now_us)
        for said in self._steps:
            if isinstance(said, Refusal):
                self.gone, self._steps = said.why is Why.EXCEEDED, None
            return
        self._steps = None
        if self.reads:
            self._batch = Batch(self._chance)

    def lost(self) -> None:
        """The proxy has died under its call: it reads again what it knows of."""
        self._steps = None
        if not self._batch.id:
            self._batch = Batch(self._chance)


def crowd(home, seed: int, names: list[str], deaths: float) -> tuple[Provider, int, int, int]:
    chance, provider = random.Random(seed), Provider()
    proxies = {name: Proxy(home, name) for name in names}
    callers = [(Caller(chance), chance.choice(names)) for _ in range(CALLERS)]
    now_us = NOON
    while active := [each for each in callers if not each[0].gone]:
        now_us += chance.randrange(20_000)
        caller, name = chance.choice(active)
        caller.step(proxies[name], provider, now_us)
        assert provider.charged <= DOLLAR
        if chance.random() < 0.1:
            proxies[name].budgets.tick(now_us)
            (group,) = reports.groups(proxies[name].budgets.file, 1, ALL, 10)
            assert group.spent + group.leased <= DOLLAR
        if chance.random() < deaths:
            proxies[name].die()
            proxies[name] = Proxy(home, name)
            for each, place in callers:
                if place == name:
                    each.lost()
    for each in proxies.values():
        each.close(now_us)
    with proxy(home) as last:
        return provider, *standing(last)


@pytest.mark.parametrize("proxies", [1, 2])
@pytest.mark.parametrize("seed", range(10))
def test_many_callers_with_batches_never_spend_more_than_the_budget_and_can_spend_nearly_all(home, seed, proxies):
    begin_counting(home, [budget(period="once")])
    provider, spent, leased, batches = crowd(home, seed, [f"proxy-{n}" for n in range(1, proxies + 1)], deaths=0)
    assert (spent, leased, batches) == (provider.charged, 0, 0)
    assert spent >= 0.8 * DOLLAR


@pytest.mark.parametrize("seed", range(10))
def test_proxies_that_die_again_and_again_lose_no_batch(home, seed):
    begin_counting(home, [budget(period="once")])
    provider, spent, leased, batches = crowd(home, seed, ["proxy-1", "proxy-2"], deaths=0.01)
    # a batch of which nobody knows the name counts at its worst
    assert provider.charged <= spent
    assert leased == batches
    assert spent + leased <= DOLLAR


def batch_of(worsts: dict[str, int], costs: list[int]) -> Batch:
    batch = Batch(random.Random(0))
    batch.worst, batch.costs = BatchWorst(worsts), costs
    return batch


def test_a_batch_is_held_in_later_periods_too_and_counts_when_it_is_read(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batch = batch_of({"claude-x": 600_000_000}, [100_000_000, 200_000_000])
        list(made(at, batch, Provider(), NOON))
        assert standing(at) == (0, 600_000_000, 600_000_000)
        (counter,) = at.budgets.plans.all[0].counters.values()
        assert counter.held == 0  # what it holds is no longer this proxy's
        refused = at.reserve(started(), 500_000_000, NOON + DAY)
        assert isinstance(refused, Refusal)
        assert (refused.why, refused.should_retry, refused.retry_after_s) == (Why.HELD, False, 60)
        assert refused.message == (
            "The budget 'all' has no room for this call: $0.00 of $1.00 spent, $0.6000 held by batches, this call may "
            "cost up to $0.5000. There is room again when the batches' results have been fetched."
        )
        steps = read(at, batch, NOON)
        next(steps)
        assert standing(at) == (100_000_000, 500_000_000, 500_000_000)
        list(steps)
        assert standing(at) == (300_000_000, 0, 0)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_proxy_that_dies_while_a_batch_is_made_leaves_it_counted_or_held(home, steps):
    """Sent, answered, and held without its row: the last is counted as a call without an end, and held too."""
    of_model = budget("model", scope={"kind": "model", "value": "claude-x"})
    begin_counting(home, [budget(), of_model])
    at, batch = Proxy(home), batch_of({"claude-x": 600_000_000}, [1])
    making = made(at, batch, Provider(), NOON, rests=True)
    for _ in range(steps):
        next(making)
    at.die()
    with proxy(home, "proxy-2") as other:
        other.keeper._siblings.sweep(other.budgets.file, NOON)
        for number in (1, 2):
            (group,) = reports.groups(other.budgets.file, number, ALL, 10)
            assert group.leased == 600_000_000 if steps < 3 else group.leased == 1_200_000_000
    with proxy(home) as again:
        for number in (1, 2):
            (group,) = reports.groups(again.budgets.file, number, ALL, 10)
            expected = (600_000_000, 0) if steps < 3 else (600_000_000, 600_000_000)
            assert (group.spent, group.leased) == expected


def test_each_models_budget_holds_what_is_its_own_in_a_batch(home):
    kinds = [budget(name, scope={"kind": "model", "value": f"claude-{name}"}) for name in ("a", "b")]
    begin_counting(home, [budget(amount_usd=2), *kinds])
    with proxy(home) as at:
        batches = BatchHolds(at.budgets)
        worst = BatchWorst({"claude-a": 900_000_000, "claude-b": 300_000_000, "other": 100_000_000})
        start = started(endpoint=Endpoint.BATCHES)
        held = batches.reserve(start, worst, NOON / SECOND)
        assert {counter.value: nano for counter, nano in held.needs.items()} == {
            "": 1_300_000_000,
            "claude-a": 900_000_000,
            "claude-b": 300_000_000,
        }
        assert held.nano == 1_300_000_000
        refused = batches.reserve(start, BatchWorst({"claude-b": 100, "claude-a": 200_000_000}), NOON / SECOND)
        assert (refused.budget, refused.why) == ("a", Why.HELD)
        at.budgets.tick(NOON + 2 * SECOND)
        # what was refused is held nowhere
        found = [reports.groups(at.budgets.file, number, ALL, 10)[0].leased for number in (1, 2, 3)]
        assert found == [1_300_000_000, 900_000_000, 300_000_000]
        batches.release(held)


def test_a_batch_of_several_models_that_nobody_knows_the_name_of_is_counted_or_held_in_every_budget(home):
    begin_counting(home, [budget(), budget("model", scope={"kind": "model", "value": "claude-a"})])
    with proxy(home) as at:
        batches, worst = BatchHolds(at.budgets), BatchWorst({"claude-a": 600_000_000, "claude-b": 100_000_000})
        start = started(endpoint=Endpoint.BATCHES, model_requested="")
        hold = BatchHold(batches, batches.reserve(start, worst, NOON / SECOND), worst)
        start = hold.noted(start)
        liability = hold.liability(start, Usage(), FREE, billed=True, at_us=NOON)
        record = ended(
            start.id, endpoint=Endpoint.BATCHES, ended_at=NOON, model_requested="", model="", liability_usd=liability
        )
        hold.settle(record, at.spool.end(record))
        at.budgets.tick(NOON + 2 * SECOND)
        found = [reports.groups(at.budgets.file, number, ALL, 10)[0] for number in (1, 2)]
        assert [(group.spent, group.leased) for group in found] == [(700_000_000, 0), (0, 600_000_000)]


OF_A = budget("model", scope={"kind": "model", "value": "claude-a"})
SEVERAL = {"claude-a": 600_000_000, "claude-b": 100_000_000}


def both(at: Proxy) -> list[tuple[int, int]]:
    """What is spent and held of the budget of all, and of the one of a model."""
    found = [reports.groups(at.budgets.file, number, ALL, 10) or [reports.Group("", 0, 0)] for number in (1, 2)]
    return [(group.spent, group.leased) for (group,) in found]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [(700_000_000, 0), (0, 600_000_000)]),
        (2, [(700_000_000, 0), (0, 600_000_000)]),
        (3, [(700_000_000, 700_000_000), (0, 600_000_000)]),
    ],
    ids=["sent", "answered", "held"],
)
@pytest.mark.parametrize("other", [False, True], ids=["alone", "with another"])
def test_a_proxy_that_dies_while_a_batch_of_several_models_is_made_leaves_it_in_every_budget(
    home, steps, expected, *, other
):
    begin_counting(home, [budget(amount_usd=2), OF_A])
    at, making = Proxy(home), None
    making = made(at, batch_of(SEVERAL, [1]), Provider(), NOON, rests=True, model_requested="")
    for _ in range(steps):
        next(making)
    at.die()
    if other:
        with proxy(home, "proxy-2") as second:
            second.keeper._siblings.sweep(second.budgets.file, NOON)
            refused = second.reserve(started(model_requested="claude-a"), 500_000_000, NOON)
            assert (refused.budget, refused.why) == ("model", Why.HELD)
    with proxy(home) as again:
        assert both(again) == expected


def test_a_batch_of_several_models_is_held_by_its_name_alone_once_that_is_known(home):
    begin_counting(home, [budget(), OF_A])
    with proxy(home) as at:
        batch = batch_of(SEVERAL, [1])
        list(made(at, batch, Provider(), NOON, model_requested=""))
        at.budgets.tick(NOON + 2 * SECOND)
        assert both(at) == [(0, 700_000_000), (0, 600_000_000)]
        BatchHolds(at.budgets).end(BatchKey("anthropic", batch.id))
        assert both(at) == [(0, 0), (0, 0)]


@pytest.mark.parametrize("sent", [False, True])
def test_a_batch_of_several_models_that_was_not_made_is_held_nowhere(home, *, sent):
    begin_counting(home, [budget(), OF_A])
    with proxy(home) as at:
        batches, worst = BatchHolds(at.budgets), BatchWorst(SEVERAL)
        start = started(endpoint=Endpoint.BATCHES, model_requested="")
        hold = BatchHold(batches, batches.reserve(start, worst, NOON / SECOND), worst)
        start = hold.noted(start)
        if sent:
            assert hold.liability(start, Usage(), FREE, billed=False, at_us=NOON) is None
            record = ended(start.id, endpoint=Endpoint.BATCHES, cost_usd=Decimal(0), ended_at=NOON, model_requested="")
            hold.settle(record, at.spool.end(record))
        else:
            hold.release()
        at.budgets.tick(NOON + 2 * SECOND)
        assert both(at) == [(0, 0), (0, 0)]


def test_a_batch_that_is_told_of_twice_is_held_once(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batches, batch = BatchHolds(at.budgets), BatchWorst({"claude-x": 300_000_000})
        for _ in range(2):
            start = started(endpoint=Endpoint.BATCHES)
            assert batches.hold(batches.reserve(start, batch, NOON / SECOND), start, batch, "batch_1")
        at.budgets.tick(NOON + 2 * SECOND)
        assert standing(at) == (0, 300_000_000, 300_000_000)


def test_a_change_of_the_budgets_while_a_batch_is_made_loses_nothing(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batches, start = BatchHolds(at.budgets), started(endpoint=Endpoint.BATCHES)
        worst = BatchWorst({"claude-x": 300_000_000})
        held = batches.reserve(start, worst, NOON / SECOND)
        with at.budgets.file.transaction() as execute:
            execute("UPDATE state SET generation = generation + 1")
        assert batches.hold(held, start, worst, "batch_1")
        at.budgets.tick(NOON + 2 * SECOND)
        assert standing(at) == (0, 300_000_000, 300_000_000)
        with at.budgets.file.transaction() as execute:
            execute("UPDATE state SET generation = generation + 1")
        tags = {BATCH_TAG: "batch_1"}
        record = ended(endpoint=Endpoint.BATCH_RESULT, cost_usd=Decimal("0.1"), ended_at=NOON, tags=tags)
        batches.settle(record, at.spool.end(record))
        assert standing(at) == (100_000_000, 200_000_000, 200_000_000)


def test_a_call_with_a_batchs_name_among_its_tags_takes_nothing_of_its_hold(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batch = batch_of({"claude-x": 600_000_000}, [1])
        list(made(at, batch, Provider(), NOON))
        at.spend(100_000_000, tags={BATCH_TAG: batch.id})
        at.budgets.tick(NOON + 2 * SECOND)
        assert standing(at) == (100_000_000, 600_000_000, 600_000_000)


def test_the_end_of_a_batch_waits_for_the_file(home, monkeypatch):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batch = batch_of({"claude-x": 600_000_000}, [1])
        list(made(at, batch, Provider(), NOON))
        with monkeypatch.context() as patch:
            patch.setattr(holds, "end", _busy)
            list(read(at, batch, NOON))
            assert standing(at)[2] == 599_999_999
        assert standing(at) == (1, 0, 0)


def _busy(*_asked: object) -> None:
    raise CountersError("the file is busy")


def test_by_whom_a_batch_was_made_is_known_until_it_is_over(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batch = batch_of({"claude-x": 600_000_000}, [1])
        list(made(at, batch, Provider(), NOON, team="core", user="ann"))
        batches, key = BatchHolds(at.budgets), BatchKey("anthropic", batch.id)
        maker = batches.made_by(key)
        assert (maker.team, maker.user, maker.model_requested) == ("core", "ann", "claude-x")
        assert batches.made_by(key._replace(provider="other")) is None
        list(read(at, batch, NOON, team="core", user="ann"))
        assert batches.made_by(key) is None


def test_a_batch_that_nobody_reads_for_30_days_is_let_go_and_said_so(home, caplog):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        batches, day = BatchHolds(at.budgets), 24 * 3600 * SECOND
        for number, days in enumerate((29, 31)):
            start = started(endpoint=Endpoint.BATCHES, started_at=now_us() - days * day)
            worst = BatchWorst({"claude-x": 300_000_000})
            assert batches.hold(batches.reserve(start, worst, NOON / SECOND), start, worst, f"batch_{number}")
        at.keeper.look_after()
        at.budgets.tick(NOON + 2 * SECOND)
        assert standing(at) == (0, 300_000_000, 300_000_000)
        (said,) = [record for record in caplog.records if "nobody has read" in record.message]
        assert said.batch == "batch_1"


@pytest.mark.parametrize(("setting", "why"), [("hold", Why.BATCH), ("refuse", Why.BATCH), ("allow", None)])
def test_what_does_not_tell_what_it_may_cost_is_not_held(home, setting, why):
    begin_counting(home, [budget()])
    with proxy(home, batches=setting) as at:
        said = BatchHolds(at.budgets).reserve(started(endpoint=Endpoint.BATCHES), None, NOON / SECOND)
        assert (said.why if isinstance(said, Refusal) else None) == why


def test_a_soft_budget_holds_batches_beyond_its_limit_and_says_when_it_is_used_up(home):
    begin_counting(home, [budget("soft", enforcement="soft")])
    with proxy(home) as at:
        at.spend(DOLLAR)
        at.budgets.tick(NOON)
        batches, start = BatchHolds(at.budgets), started(endpoint=Endpoint.BATCHES)
        worst = BatchWorst({"claude-x": 3 * DOLLAR})
        held = batches.reserve(start, worst, NOON / SECOND)
        assert "'soft' is used up" in held.headers["x-claude-proxy-budget-warning"]
        assert batches.hold(held, start, worst, "batch_1")
        at.budgets.tick(NOON + 2 * SECOND)
        assert standing(at) == (DOLLAR, 3 * DOLLAR, 3 * DOLLAR)
