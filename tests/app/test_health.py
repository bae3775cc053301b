"""What the programs say about themselves, and what it means for the visitor."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

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


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = self.server.says.get(self.path, (404, b""))
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


def asked(config, port: int, **says) -> Report:
    proxy = replace(config.proxy, host="127.0.0.1", port=port)
    worker = replace(config.worker, host="127.0.0.1", port=SILENT)
    status = SimpleNamespace(database_bytes=3 * 1024**2, wal_bytes=0)
    return health.report(replace(config, proxy=proxy, worker=worker), lambda: SimpleNamespace(ping=lambda: status))


def said(body: dict, status: int = 200) -> tuple[int, bytes]:
    return status, json.dumps(body).encode()


def test_a_program_that_answers_is_up_and_one_that_does_not_is_down(config, program):
    program.says["/health"] = said({"status": "ok"})
    found = asked(config, program.server_port)
    assert [each.condition for each in found.programs] == [Condition.UP, Condition.DOWN, Condition.UP]
    assert found.programs[2].detail == "3 MiB on disk"


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
