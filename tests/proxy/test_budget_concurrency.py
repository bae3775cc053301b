"""Never over by a nanodollar, by the provider's own sum; and nearly all of it usable. The store is away throughout."""

import random

import pytest

from data.budgets import Budget
from data.counters import reports
from proxy.budget.reservation import Refusal, Reservation
from tests.proxy.budget_worlds import ALL, DOLLAR, NOON, Caller, Provider, Proxy, begin_counting, budget, proxy
from tests.proxy.spool_samples import started

CALLERS = 64
#: One call's worst case: under a twentieth of the budget.
WORST = (DOLLAR // 1000, DOLLAR // 20 - 1)


class Crowd:
    """Callers of several proxies, who come at random until each has been told that the money is gone."""

    def __init__(self, seed: int, proxies: list[Proxy]) -> None:
        self.chance = random.Random(seed)
        self.provider = Provider()
        self.now_us = NOON
        self.proxies = proxies
        self._callers = [(Caller(self.chance, WORST), n % len(proxies)) for n in range(CALLERS)]

    def come(self, steps: int = 10**6) -> bool:
        """Let that many steps happen; False where nobody comes any more."""
        for _ in range(steps):
            active = [(caller, n) for caller, n in self._callers if not caller.gone]
            if not active:
                return False
            self.now_us += self.chance.randrange(20_000)
            caller, n = self.chance.choice(active)
            caller.step(self.proxies[n], self.provider, self.now_us)
            assert self.provider.charged <= DOLLAR
            if self.chance.random() < 0.05:
                self.chance.choice(self.proxies).budgets.tick(self.now_us)
        return True

    def replace(self, n: int, proxy: Proxy) -> None:
        """Another proxy takes the place of one that died; its callers call again, the calls in flight are lost."""
        self.proxies[n] = proxy
        self._callers = [
            (Caller(self.chance, WORST), place) if place == n and not caller.gone else (caller, place)
            for caller, place in self._callers
        ]


@pytest.mark.parametrize("seed", range(100))
def test_many_callers_never_spend_more_than_the_budget_and_can_spend_nearly_all(home, seed):
    begin_counting(home, [budget()])
    with proxy(home) as only:
        crowd = Crowd(seed, [only])
        assert not crowd.come()
        assert crowd.provider.charged >= 0.9 * DOLLAR
        only.budgets.tick(crowd.now_us)
        (group,) = reports.groups(only.budgets.file, 1, ALL, 10)
        assert group.spent == crowd.provider.charged


@pytest.mark.parametrize("seed", range(20))
def test_two_proxies_on_one_home_share_the_budget(home, seed):
    begin_counting(home, [budget()])
    with proxy(home, "proxy-1") as one, proxy(home, "proxy-2") as two:
        crowd = Crowd(seed, [one, two])
        assert not crowd.come()
        assert crowd.provider.charged >= 0.9 * DOLLAR


@pytest.mark.parametrize("seed", range(20))
def test_proxies_that_die_again_and_again_lose_nothing_and_count_nothing_twice(home, seed):
    begin_counting(home, [budget()])
    names = ["proxy-1", "proxy-2"]
    crowd = Crowd(seed, [Proxy(home, name) for name in names])
    while crowd.come(steps=40):
        n = crowd.chance.randrange(2)
        crowd.proxies[n].die()
        crowd.replace(n, Proxy(home, names[n]))
    for each in crowd.proxies:
        each.budgets.tick(crowd.now_us)
    (group,) = reports.groups(crowd.proxies[0].budgets.file, 1, ALL, 10)
    assert group.leased == 0
    # what was in flight when its proxy died counts at its worst
    assert crowd.provider.charged <= group.spent <= DOLLAR
    assert group.spent >= 0.9 * DOLLAR
    for each in crowd.proxies:
        each.close(crowd.now_us)


def test_every_budget_of_a_call_must_have_room(home):
    budgets = [
        budget("all", amount_usd=3),
        budget("core", amount_usd=1, scope={"kind": "team", "value": "core"}),
        budget("each", amount_usd=2, scope={"kind": "user", "value": "*"}, period="month"),
    ]
    begin_counting(home, budgets)
    with proxy(home) as at:
        spent = {"core": 0, "ann": 0, "bob": 0, "all": 0}
        chance = random.Random(1)
        for _ in range(600):
            team, user = chance.choice(["core", "web"]), chance.choice(["ann", "bob"])
            cost = chance.randrange(DOLLAR // 50)
            if isinstance(at.spend(cost, DOLLAR // 50, team=team, user=user), Reservation):
                for name in (team, user, "all"):
                    spent[name] = spent.get(name, 0) + cost
            assert spent["core"] <= DOLLAR
            assert max(spent["ann"], spent["bob"]) <= 2 * DOLLAR
            assert spent["all"] <= 3 * DOLLAR
        assert spent["core"] >= 0.9 * DOLLAR
        assert spent["all"] >= 2.7 * DOLLAR


def test_a_refusal_holds_nothing_anywhere(home):
    begin_counting(home, [budget("wide", amount_usd=10), budget("narrow", scope={"kind": "team", "value": "core"})])
    with proxy(home) as at:
        refused = at.reserve(started(team="core"), 2 * DOLLAR)
        assert isinstance(refused, Refusal)
        assert refused.budget == "narrow"
        assert isinstance(at.reserve(started(), 10 * DOLLAR), Reservation)


def test_the_same_budget_by_the_ledgers_own_rows(home):
    """What budgets have counted is what the records say, to the nanodollar."""
    each: list[Budget] = [
        budget("team", scope={"kind": "team", "value": "*"}, amount_usd=100),
        budget("model", scope={"kind": "model", "value": "claude-*"}, amount_usd=100, window="rolling"),
    ]
    begin_counting(home, each)
    with proxy(home) as at:
        chance = random.Random(3)
        sums: dict[str, int] = {}
        for _ in range(200):
            team = chance.choice(["a", "b", ""])
            model = chance.choice(["claude-x", "gpt-x"])
            cost = chance.randrange(DOLLAR // 10)
            at.spend(cost, team=team, model_requested=model, model=model)
            sums[team] = sums.get(team, 0) + cost
            sums[model] = sums.get(model, 0) + cost
        at.budgets.tick(NOON)
        found = {g.value: g.spent for number in (1, 2) for g in reports.groups(at.budgets.file, number, ALL, 10)}
        assert found == {"a": sums["a"], "b": sums["b"], "claude-*": sums["claude-x"]}
