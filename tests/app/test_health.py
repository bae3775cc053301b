"""What the programs say about themselves, and what it means for the visitor."""

import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import polars as pl
import pytest

from app import health
from app.health import Backlog, Condition, Program, Report
from app.views import statusline
from data.errors import StoreUnavailable

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SILENT = 1  # a port on which nothing answers


class Answers(ThreadingHTTPServer):
    """A program on loopback that answers each path with a status and a body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says: dict[str, tuple[int, bytes]] = {}
        self.shown: dict[str, str] = {}  # the credentials that came with each path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = self.server.says.get(self.path, (404, b""))
        self.server.shown[self.path] = self.headers.get("Authorization", "").encode("latin-1").decode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def program() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def running_proxy(config) -> Iterator[None]:
    """What a proxy of this home does to it: it keeps a spool locked."""
    spool = config.spool / "proxy-1"
    spool.mkdir(parents=True, exist_ok=True)
    with (spool / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def asked(config, port: int, *, worker: int = SILENT, leader: str = "", own: bool = True) -> Report:
    """The report, with the proxy on `port`; `own`: one of this home runs. `leader` has the lease in this home."""
    ports = {"proxy": replace(config.proxy, host="127.0.0.1", port=port)}
    ports |= {"worker": replace(config.worker, host="127.0.0.1", port=worker)}
    lease = pl.DataFrame({"holder": [leader], "expires_at": [datetime.now(UTC) + timedelta(hours=1)]})
    status = SimpleNamespace(database_bytes=3 * 1024**2, wal_bytes=0)
    store = SimpleNamespace(ping=lambda: status, frame=lambda _: lease)
    with running_proxy(config) if own else nullcontext():
        return health.report(replace(config, **ports), lambda: store)


def said(body: dict, status: int = 200) -> tuple[int, bytes]:
    return status, json.dumps(body).encode()


def test_a_program_that_answers_is_up_and_one_that_does_not_is_down(config, program):
    program.says["/health"] = said({"status": "ok"})
    found = asked(config, program.server_port)
    assert [each.condition for each in found.programs] == [Condition.UP, Condition.DOWN, Condition.UP]
    assert found.programs[2].detail == "3 MiB on disk"


def test_a_proxy_that_answers_while_none_of_this_home_runs_is_anothers(config, program):
    program.says["/health"] = said({"status": "ok"})
    program.says["/api/system/spool"] = said({"records": 0, "oldest_us": None})
    found = asked(config, program.server_port, own=False)
    assert found.programs[0].condition is Condition.STRANGE
    assert found.backlog is None
    assert "for another home" in statusline.advice(found)


@pytest.mark.parametrize(
    ("leader", "condition"), [("vm:1:a", Condition.UP), ("vm:2:b", Condition.STRANGE), ("", Condition.STRANGE)]
)
def test_a_worker_is_ours_when_its_leader_has_our_lease(config, program, leader, condition):
    program.says["/health"] = said({"status": "ok", "checks": {"evaluator": {"ok": True, "leader": "vm:1:a"}}})
    assert asked(config, SILENT, worker=program.server_port, leader=leader).programs[1].condition is condition


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (
            said({"status": "degraded", "checks": {"store": {"status": "degraded", "detail": "Takes nothing."}}}),
            "store: Takes nothing.",
        ),
        (
            said({"status": "failing", "checks": {"calls": {"status": "failing", "detail": "Stopping."}}}, 503),
            "calls: Stopping.",
        ),
        (said({"status": "degraded", "checks": {"outbox": {"ok": False}, "store": {"ok": True}}}), "outbox: not well."),
        ((500, b"oops"), "status 500."),
    ],
)
def test_a_program_that_is_not_well_says_why(config, program, answer, detail):
    program.says["/health"] = answer
    proxy = asked(config, program.server_port).programs[0]
    assert proxy.condition is Condition.DEGRADED
    assert proxy.detail.endswith(detail)


@pytest.mark.parametrize("answer", [(200, b"not json"), (200, b"[1]"), (404, b"")])
def test_nonsense_is_no_backlog(config, program, answer):
    program.says["/api/system/spool"] = answer
    assert asked(config, program.server_port).backlog is None


def test_the_backlog_is_what_waits_in_the_spool(config, program):
    program.says["/api/system/spool"] = said({"records": 3, "bytes": 9, "oldest_us": 1_000_000, "in_flight": 0})
    assert asked(config, program.server_port).backlog == Backlog(3, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize(("token", "shown"), [("", ""), ("geheim-ü€", "Bearer geheim-ü€")])
def test_the_proxys_api_is_shown_its_token_and_nobody_else_is(config, program, token: str, shown: str):
    config = replace(config, proxy=replace(config.proxy, api_token=token))
    asked(config, program.server_port, worker=program.server_port)
    assert program.shown == {"/health": "", "/api/system/spool": shown}


def test_a_store_that_is_down_is_named(config):
    def gone():
        raise StoreUnavailable("no socket")

    assert health.report(config, gone).programs[2] == Program("Store", Condition.DOWN, "no socket")


@pytest.mark.parametrize(
    ("backlog", "expected"),
    [
        (Backlog(0, None), "Ledger up to date"),
        (Backlog(2, NOW - timedelta(seconds=1)), "Ledger up to date"),
        (Backlog(1234, NOW - timedelta(seconds=90)), "Ledger 90.0 s behind, 1,234 requests wait"),
    ],
)
def test_the_status_line_says_how_far_the_ledger_is_behind(backlog, expected):
    assert expected in statusline._ledger(backlog, NOW)


def test_the_status_line_never_shows_words_of_others_as_markup():
    drawn = statusline._program(Program("Proxy", Condition.DEGRADED, '"><script>'))
    assert "<script>" not in drawn


def test_advice_says_what_follows_and_what_to_do():
    up, down = Program("Store", Condition.UP, ""), Program("Worker", Condition.DOWN, "")
    assert statusline.advice(Report((up,), None)) is None
    assert "no rule is evaluated" in statusline.advice(Report((up, down), None))
    assert "`claude-proxy up`" in statusline.advice(Report((up, down), None))
