from types import SimpleNamespace

import pytest

from data.model import Outcome
from proxy import progress as module
from proxy.faults import Phase
from proxy.progress import Progress
from proxy.time_limits import time_limits

LIMITS = time_limits(connect_s=1, first_byte_s=30, idle_s=10, total_s=100)


class Clock:
    """A clock that goes on when a test says so; `ends` is when it would end what waits."""

    at = ends = 0.0

    def now(self):
        return self.at

    def set(self, at):
        self.ends = at


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "Overdue", lambda: clock)
    return clock


def progress(*, hung_up=False, status=0, method="POST"):
    account = SimpleNamespace(start=SimpleNamespace(provider="anthropic"), status=status)
    reply = SimpleNamespace(status=status, begun=status > 0, gone=False, hung_up=hung_up)
    return Progress(account, reply, LIMITS, method)


def test_each_wait_has_its_own_limit_from_its_begin(clock):
    one = progress()
    one.wait(Phase.FIRST_BYTE)
    assert clock.ends == 30
    clock.at = 9.0
    one.wait(Phase.NEXT_BYTE)
    assert clock.ends == 19
    clock.at = 18.0
    one.wait(Phase.CLIENT)
    assert (one.phase, clock.ends) == (Phase.CLIENT, 28)


@pytest.mark.parametrize(("phase", "name"), [
    (Phase.FIRST_BYTE, "first_byte_timeout"),
    (Phase.NEXT_BYTE, "idle_timeout"),
    (Phase.CLIENT, "client_too_slow"),
])  # fmt: skip
def test_what_waited_too_long_is_named_by_what_it_waited_for_and_by_the_whole_near_its_end(clock, phase, name):
    one = progress(status=200)
    one.wait(phase)
    clock.at = clock.ends - 0.0005  # event loops call a bit early
    assert one.failed(TimeoutError())[1].error_class == name
    clock.at = 95.0
    one.wait(phase)
    clock.at = clock.ends - 0.0005
    assert one.failed(TimeoutError())[1].error_class == "total_timeout"


def test_what_is_cancelled_was_left_by_its_client_or_by_the_proxy(clock):
    assert progress(hung_up=True).cancelled().outcome is Outcome.DISCONNECTED
    assert progress().cancelled().outcome is Outcome.INTERRUPTED


@pytest.mark.parametrize(("status", "method", "written", "billed"), [
    (200, "POST", False, True),
    (400, "POST", True, False),
    (0, "POST", False, False),
    (0, "POST", True, True),
    (0, "GET", True, False),
])  # fmt: skip
def test_a_provider_may_charge_for_what_it_has(clock, status, method, written, billed):
    one = progress(status=status, method=method)
    if written:
        one.upload.written()
    assert one.left().billed is billed
