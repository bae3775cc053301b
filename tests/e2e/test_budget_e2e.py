"""A dollar's hard budget in front of sixty-four callers: the provider's own log never costs more, whatever dies."""

import asyncio
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.callers import Ask, Told, keep_calling
from tests.e2e.pieces import Pieces
from tests.e2e.reconcile import assert_books_agree, provider_usd
from tests.e2e.stack import until

pytestmark = pytest.mark.slow

LIMIT = Decimal(1)
CALLERS = 64


@pytest.fixture
def pieces() -> Iterator[Pieces]:
    home = Path(tempfile.mkdtemp(prefix="cpa-"))
    made = Pieces(home)
    try:
        made.start_store()
        made.start_proxy()
        made.make_budget(LIMIT)
        yield made
    finally:
        made.end()
        shutil.rmtree(home, ignore_errors=True)


def any_size(chance: random.Random) -> Ask:
    """A call that may cost half a cent and costs anything up to that; it takes a moment, so that many are held."""
    output = chance.randint(1, 200)
    steered = f"output={output},ttft_ms=10,duration_ms={chance.randint(20, 60)}"
    return Ask(steered, stream=chance.random() < 0.5, words=chance.randint(1, 100))


def spend_it_all(pieces: Pieces, meanwhile: Callable[[], object] = lambda: None) -> list[Told]:
    """Call until a refusal says that no retry will help; `meanwhile` happens when a third of the dollar is spent."""
    finished = threading.Event()

    def count(told: Told) -> None:
        if told.status == 429 and told.should_retry == "false":
            finished.set()

    calling = keep_calling(pieces.proxy_url, pieces.numbers, any_size, finished.is_set, count=count, callers=CALLERS)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(asyncio.run, calling)
        try:
            until(lambda: provider_usd(pieces.served()) > LIMIT / 3, limit_s=120, what="a third is spent")
            assert not finished.is_set()
            meanwhile()
            until(finished.is_set, limit_s=240, what="the budget is used up")
        finally:
            finished.set()
        return told.result(240)


def assert_refused(told: list[Told]) -> None:
    refused = [each for each in told if each.status == 429]
    assert {each.should_retry for each in refused} <= {"true", "false"}
    assert any(each.should_retry == "false" for each in refused)
    assert all("all" in each.error for each in refused), "a refusal names its budget"


def test_a_hard_budget_is_used_up_and_never_exceeded(pieces: Pieces):
    told = spend_it_all(pieces)
    assert_refused(told)
    assert_books_agree(pieces, told)
    assert LIMIT * 9 / 10 <= provider_usd(pieces.served()) <= LIMIT
    assert {each.status for each in told} == {200, 429}


def test_a_hard_budget_holds_through_the_kill_of_the_proxy(pieces: Pieces):
    def kill() -> None:
        pieces.kill_proxy()
        pieces.start_proxy()

    told = spend_it_all(pieces, kill)
    assert_refused(told)
    rows = assert_books_agree(pieces, told)
    assert any(row["outcome"] == "interrupted" for row in rows), "calls were in flight"
    assert provider_usd(pieces.served()) <= LIMIT
    # what was in flight when it was killed counts as the most that it may have cost
    assert LIMIT * 9 / 10 <= pieces.budget()["spent_usd"] <= LIMIT


def test_a_hard_budget_holds_while_the_store_is_away(pieces: Pieces):
    told = spend_it_all(pieces, pieces.kill_store)
    assert_refused(told)
    assert pieces.spool()["records"] > 0
    assert LIMIT * 9 / 10 <= provider_usd(pieces.served()) <= LIMIT
    pieces.start_store()
    assert_books_agree(pieces, told)
    assert {each.status for each in told} == {200, 429}
