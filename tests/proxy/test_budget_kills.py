"""`kill -9` of proxies at random instants: never over by the provider's own sum, and nothing of the money is lost.

BUDGET_KILL_SEEDS says for how many seeds (5).
"""

import os
import random
import time
from pathlib import Path

import pytest

from data.counters import reports
from tests.forks import Forked
from tests.proxy.budget_caller import LIMIT
from tests.proxy.budget_worlds import ALL, begin_counting, budget, proxy, usd

SEEDS = range(int(os.environ.get("BUDGET_KILL_SEEDS", "5")))
KILLS = 4


def caller(home: Path, name: str, seed: int) -> Forked:
    process = Forked("tests.proxy.budget_caller", str(home), name, str(seed))
    assert process.stdout.readline() == "ready\n"
    return process


def charged(home: Path) -> int:
    """The provider's sum."""
    path = home / "provider"
    return sum(int(line.split()[1]) for line in path.read_text().splitlines()) if path.exists() else 0


def ended_well(process: Forked) -> bool:
    return process.end() == 0


def calls(home: Path) -> int:
    """How many calls the provider has seen."""
    path = home / "provider"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("proxies", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_proxies_never_overspend(home, seed, proxies):
    begin_counting(home, [budget(amount_usd=usd(LIMIT), period="once")])  # no period ends under the test
    names = [f"proxy-{n + 1}" for n in range(proxies)]
    chance = random.Random(seed)
    running = {name: caller(home, name, chance.randrange(10**6)) for name in names}
    (home / "go").touch()
    for _ in range(KILLS):
        seen = calls(home) + chance.randint(30, 500)
        while calls(home) < seen and charged(home) < 0.9 * LIMIT:
            time.sleep(0.002)
        name = chance.choice(names)
        running[name].kill()
        running[name].end()
        assert charged(home) <= LIMIT
        running[name] = caller(home, name, chance.randrange(10**6))
    assert {ended_well(process) for process in running.values()} == {True}
    spent = charged(home)
    with proxy(home) as last:
        (group,) = reports.groups(last.budgets.file, 1, ALL, 10)
    assert group.leased == 0
    # what was in flight at a kill counts at its worst, and at the first one something was
    assert spent < group.spent <= LIMIT
    assert group.spent >= 0.9 * LIMIT
