"""A key's limits hold for all proxies of a home together, whoever comes, leaves or is killed."""

import functools
import json
import os
import random
import selectors
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from data.connection import Connection
from data.errors import LimitsUnknown
from data.limit_file import LimitFile, Mode
from proxy.admission.limits import Exceeded, Limits, Ticket
from proxy.admission.shared_limits import SharedLimits
from tests.forks import Forked
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.samples import MESSAGE, MESSAGES

START = 1000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Proxy:
    """One proxy's part, with one key."""

    def __init__(self, folder: Path, name: str, clock: Clock, *allowed: int | None) -> None:
        self.clock = clock
        self.shared = SharedLimits(folder, name, clock)
        self.limits = Limits(*allowed, "ci")
        self.shared.begin(self.limits)
        self.shared.tick()

    @property
    def mode(self) -> Mode:
        return self.shared.mode

    def take(self, tokens: int = 0) -> Ticket | Exceeded:
        return self.limits.take(tokens, self.clock.now)

    def admits(self, tokens: int = 0) -> bool:
        return isinstance(self.take(tokens), Ticket)

    def look(self) -> Mode:
        """What it does by itself within a second or so."""
        self.clock.now += 1.1
        self.shared.tick()
        return self.mode

    def die(self) -> None:
        """As the kernel ends a process: its lock is free, and nothing is written any more."""
        self.shared._home.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def make(name: str, *allowed: int | None) -> Proxy:
        made.append(Proxy(tmp_path / "limits", name, clock, *allowed))
        return made[-1]

    yield make
    for each in made:
        each.shared.close()


def side_by_side(new, *allowed: int | None) -> tuple[Proxy, Proxy]:
    one, two = new("one", *allowed), new("two", *allowed)
    one.shared.tick()
    two.shared.tick()
    assert (one.mode, two.mode) == (Mode.SHARED, Mode.SHARED)
    return one, two


def test_who_serves_a_home_alone_counts_in_memory(new):
    one = new("one", 3, None, None)
    assert (one.mode, one.limits.others) == (Mode.ALONE, None)
    one.die()  # no file is needed any more
    assert [one.admits() for _ in range(4)] == [True, True, True, False]


def test_another_one_admits_nothing_until_the_first_has_told_what_it_knows(new):
    one = new("one", 3, None, None)
    assert one.admits()
    two = new("two", 3, None, None)
    assert two.mode is Mode.WAITING
    with pytest.raises(LimitsUnknown):
        two.take()
    assert one.admits()
    one.shared.tick()
    with pytest.raises(LimitsUnknown):
        two.take()
    two.shared.tick()
    assert [two.admits(), two.admits(), one.admits()] == [True, False, False]


@pytest.mark.parametrize(
    ("allowed", "tokens", "what"),
    [
        ((4, None, None), 0, "requests a minute"),
        ((None, 40, None), 10, "tokens a minute"),
        ((None, None, 4), 0, "calls in parallel"),
    ],
)
def test_both_together_admit_what_one_alone_would(new, allowed, tokens, what):
    one, two = side_by_side(new, *allowed)
    assert [each.admits(tokens) for each in (one, two, one, two)] == [True] * 4
    assert [each.take(tokens).what for each in (one, two)] == [what, what]


def test_a_minute_passes_for_both(new, clock):
    one, two = side_by_side(new, 2, None, None)
    assert one.admits()
    clock.now += 30
    assert two.admits()
    told = one.take()
    assert told.retry_after_s == pytest.approx(30.25)
    clock.now += told.retry_after_s
    assert [one.admits(), two.admits()] == [True, False]


def test_a_call_that_ends_makes_room_at_the_other_one(new):
    one, two = side_by_side(new, None, 1000, 1)
    ticket = one.take(800)
    assert two.take(100).what == "calls in parallel"
    ticket.end(50, START)
    assert two.limits.in_flight == 0
    assert two.admits(950)
    assert [quota.remaining for quota in two.limits.quotas(START)] == [0]


def test_what_was_taken_alone_is_settled_in_company_and_back(new):
    one = new("one", None, 1000, None)
    first = one.take(900)
    two = new("two", None, 1000, None)
    one.shared.tick()
    two.shared.tick()
    assert not two.admits(200)
    first.end(100, START)
    second = two.take(700)
    assert isinstance(second, Ticket)
    one.shared.close()
    assert two.look() is Mode.ALONE
    second.end(1, two.clock.now)
    assert [quota.remaining for quota in two.limits.quotas(two.clock.now)] == [899]
    assert [two.admits(899), two.admits(1)] == [True, False]


def test_a_proxy_whose_clock_was_read_before_anothers_counts_no_earlier(new, clock):
    one, two = side_by_side(new, None, 1000, None)
    ticket = one.take(500)
    clock.now += 60.25
    assert two.admits(1000)
    ticket.end(0, START + 60.2)  # read just before, and kept waiting
    assert not two.admits(1)
    assert [quota.remaining for quota in one.limits.quotas(clock.now)] == [0]


def test_a_killed_proxys_calls_are_over_and_what_it_used_counts_on(new, clock):
    one, two = side_by_side(new, 4, None, 2)
    assert [one.admits(), one.admits(), two.admits()] == [True, True, False]
    one.die()
    clock.now += 0.2
    assert [two.admits(), two.admits(), two.admits()] == [True, True, False]
    assert two.limits.elsewhere == 0
    assert two.look() is Mode.ALONE
    assert two.take().what == "calls in parallel"
    two.limits.parallel = None
    assert two.take().what == "requests a minute"


def test_who_comes_under_a_killed_ones_name_has_nothing_in_flight(new):
    one, two = side_by_side(new, None, None, 2)
    assert [one.admits(), one.admits()] == [True, True]
    one.die()
    again = new("one", None, None, 2)
    assert again.mode is Mode.SHARED
    assert [two.admits(), again.admits(), two.admits()] == [True, True, False]


def test_one_that_waits_goes_on_when_the_one_that_counted_alone_is_killed(new):
    one, two = new("one", 2, None, None), new("two", 2, None, None)
    assert two.mode is Mode.WAITING
    one.die()
    assert two.look() is Mode.ALONE


def test_who_leaves_tells_the_next_what_was_used(new, clock):
    one = new("one", 2, None, 1)
    assert one.admits()
    one.shared.close()
    clock.now += 30
    two = new("two", 2, None, None)
    assert two.mode is Mode.ALONE
    assert [two.admits(), two.admits()] == [True, False]
    clock.now += 30.25
    assert two.admits()


def test_a_key_that_is_new_is_held_to_its_limits_like_the_others(new):
    one, two = side_by_side(new, 1, None, None)
    for each in (one, two):
        each.limits = Limits(1, None, None, "new")
        each.shared.begin(each.limits)
    assert [one.admits(), two.admits()] == [True, False]


def test_times_of_another_start_of_the_machine_do_not_count(new, clock):
    one = new("one", 1, None, None)
    assert one.admits()
    one.shared.close()
    clock.now = 10.0
    two = new("two", 1, None, None)
    assert [two.admits(), two.admits()] == [True, False]


def test_while_the_file_is_held_calls_are_refused_and_what_has_ended_is_told_later(new, tmp_path, caplog):
    one, two = side_by_side(new, 5, 1000, 2)
    ticket = one.take(400)
    with closing(sqlite3.connect(tmp_path / "limits" / "limits.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LimitsUnknown):
            one.take(1)
        ticket.end(900, START)
        assert one.limits.in_flight == 0
        holder.execute("ROLLBACK")
    assert "database is locked" in caplog.text
    one.shared.tick()
    assert one.shared.trouble == ""
    assert not two.admits(101)
    assert two.admits(100)
    assert [quota.remaining for quota in two.limits.quotas(START)] == [3, 0]


def test_a_call_that_cannot_be_written_down_is_not_admitted(new, tmp_path):
    one, two = side_by_side(new, 5, 1000, 1)
    with closing(sqlite3.connect(tmp_path / "limits" / "limits.sqlite", isolation_level=None)) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON minutes BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        with pytest.raises(LimitsUnknown, match="disk is full"):
            one.take(400)
        other.execute("DROP TRIGGER full")
    assert one.admits(1000)
    assert two.take().what == "calls in parallel"


@pytest.mark.parametrize("company", [False, True])
def test_a_damaged_file_is_made_anew_where_nobody_else_uses_it(new, tmp_path, company):
    one = new("one", 1, None, None)
    if not company:
        one.shared.close()
    for path in (tmp_path / "limits").glob("limits.sqlite*"):
        path.write_bytes(b"not a database, whatever its name says" * 1000)
    two = new("two", 1, None, None)
    assert two.mode is (Mode.WAITING if company else Mode.ALONE)
    assert ("sqlite" in two.shared.trouble) is company


def test_trouble_with_the_file_is_told_until_it_is_over_and_waiting_for_another_is_trouble(new, tmp_path, clock):
    one, two = new("one", 5, 1000, 2), new("two", 5, 1000, 2)
    assert (one.shared.trouble, two.mode) == ("", Mode.WAITING)
    assert "has not told yet" in two.shared.trouble
    one.shared.tick()
    two.shared.tick()
    assert (one.shared.trouble, two.shared.trouble) == ("", "")
    with closing(sqlite3.connect(tmp_path / "limits" / "limits.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            clock.now += 1.1 if not one.shared.trouble else 0.1
            one.shared.tick()
            assert "database is locked" in one.shared.trouble
        holder.execute("ROLLBACK")
    one.shared.tick()
    assert (one.shared.trouble, one.mode) == ("", Mode.SHARED)


def test_nothing_is_readable_by_others_and_old_keys_are_forgotten(new, tmp_path, clock):
    one, two = side_by_side(new, 1, None, None)
    assert one.admits()
    clock.now += 300
    two.look()
    folder = tmp_path / "limits"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    with closing(LimitFile.open(folder / "limits.sqlite")) as file, file.transaction() as execute:
        assert execute("SELECT count(*) FROM minutes").fetchone() == (0,)


class Provider:
    """What all proxies call: it knows which calls are open, and what each was charged."""

    def __init__(self, home: Path, parallel: int | None) -> None:
        self.admitted = self.most = self.dearest = 0  # calls; most of them at once; most tokens ever charged
        self.charged: dict[socket.socket, int] = {}
        self.open: set[socket.socket] = set()
        self._parallel = parallel
        self._waiting = selectors.DefaultSelector()
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(home / "provider"))
        self._door.listen(64)
        self._waiting.register(self._door, selectors.EVENT_READ)

    def serve(self, until: Callable[[], bool], limit_s: float = 60.0) -> None:
        ends = time.monotonic() + limit_s
        while not until():
            assert time.monotonic() < ends, "it did not happen in time"
            for key, _ in self._waiting.select(0.05):
                caller = key.fileobj
                if caller is self._door:
                    self._waiting.register(self._door.accept()[0], selectors.EVENT_READ)
                else:
                    self._hear(caller)

    def close(self) -> None:
        for caller in (*self.charged, self._door):
            caller.close()
        self._waiting.close()

    def _hear(self, caller: socket.socket) -> None:
        said = _said(caller)
        if not said:
            self.open.discard(caller)
            self._waiting.unregister(caller)
            caller.close()
            return
        self.open ^= {caller}  # a call begins, and ends
        self.admitted += caller not in self.charged
        self.charged[caller] = int(said)
        self.dearest = max(self.dearest, sum(self.charged.values()))
        self.most = max(self.most, self._really_open() if caller in self.open else 0)
        with suppress(ConnectionError):
            caller.sendall(b".")

    def _really_open(self) -> int:
        """The killed ones' are over as soon as the kernel has come to them; nobody else's ends meanwhile."""
        ends = time.monotonic() + 2
        while True:
            gone = {each for each in self.open if _is_gone(each)}
            if self._parallel is None or len(self.open - gone) <= self._parallel or time.monotonic() > ends:
                return len(self.open - gone)


def _said(caller: socket.socket) -> bytes:
    try:
        return caller.recv(64)
    except ConnectionError:
        return b""


def _is_gone(caller: socket.socket) -> bool:
    try:
        return caller.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextmanager
def callers(home: Path, *allowed: int | None) -> Iterator[Callable[[str], Forked]]:
    started: list[Forked] = []

    def start(name: str) -> Forked:
        arguments = (str(home), name, str(len(started)), json.dumps(allowed))
        started.append(Forked("tests.proxy.limits_caller", *arguments))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.end()


@pytest.mark.parametrize("seed", range(int(os.environ.get("LIMIT_KILL_SEEDS", "2"))))
@pytest.mark.parametrize("allowed", [(400, None, None), (None, 20_000, None), (None, None, 4)], ids=str)
def test_killed_proxies_never_admit_more_than_the_limit(home, seed, allowed):
    requests, tokens, parallel = allowed
    chance, at, began = random.Random(seed), Provider(home, parallel), time.monotonic()
    with callers(home, *allowed) as start, closing(at):
        running = {name: start(name) for name in ("one", "two", "three")}
        for name in ("two", "one", "three", "two"):
            seen = at.admitted + chance.randint(10, 60)
            at.serve(lambda: at.admitted >= seen)  # noqa: B023 - it is over when the loop goes on
            at.serve(functools.partial(_are_together, home, 3))  # one that is killed alone takes what it knew with it
            running[name].kill()
            running[name].wait()
            running[name] = start(name)
        at.serve(functools.partial(_are_together, home, 3))
        at.serve(functools.partial(_is_used_up, at, allowed))
        (home / "stop").touch()
        at.serve(lambda: all(process.poll() is not None for process in running.values()))
        assert {process.returncode for process in running.values()} == {0}
    minutes = 1 + int((time.monotonic() - began) // 60)  # more than one only on a machine that is busy otherwise
    # what a killed one had counted and never sent is lost to the others for a minute
    if requests is not None:
        assert requests - 4 <= at.admitted <= requests * minutes
    if tokens is not None:
        assert tokens - 600 <= at.dearest <= tokens * minutes
    if parallel is not None:
        assert at.most == parallel


def _are_together(home: Path, proxies: int) -> bool:
    try:
        with closing(LimitFile.open(home / "limits" / "limits.sqlite")) as file:
            return list(file.others("").values()) == [Mode.SHARED] * proxies
    except LimitsUnknown:
        return False


def _is_used_up(at: Provider, allowed: tuple[int | None, ...]) -> bool:
    requests, tokens, _ = allowed
    if requests is not None:
        return at.admitted >= requests - 4
    if tokens is not None:
        return at.dearest >= tokens - 600
    return at.admitted >= 500


async def test_two_running_proxies_of_one_home_hold_a_key_to_its_limit(running, config):
    store = functools.partial(Connection.open, config)
    async with (
        provider(answer(MESSAGE)) as (url, seen),
        gateway(config.home, url, api_key="own", store=store) as one,
        client() as c,
    ):
        async with c.post(f"{one.url}/api/keys", json={"name": "ci", "requests_per_minute": 6}) as got:
            headers = {"x-api-key": (await got.json())["secret"]}

        async def call(url: str) -> int:
            async with c.post(f"{url}/v1/messages", data=MESSAGES, headers=headers) as got:
                await got.read()
                return got.status

        assert [await call(one.url) for _ in range(2)] == [200, 200]
        async with gateway(config.home, url, api_key="own", store=store) as two:
            assert [await call(each.url) for each in (one, two) * 3] == [200, 200, 200, 200, 429, 429]
        assert await call(one.url) == 429
    assert len(seen.heads) == 6
