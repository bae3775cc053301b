import pytest

from engine.errors import DeliveryError
from engine.outbox import ATTEMPTS, ATTEMPTS_BEFORE_FALLBACK, Result, delay, queued, verdict
from tests.engine.receivers import FIRING, NOON

PLAIN = queued("n-1", FIRING, channel="hook", at=NOON)
COVERED = queued("n-1", FIRING, channel="hook", at=NOON, fallback=["mail", "in-app"])
RETRY, FINAL = DeliveryError("answered 500"), DeliveryError("answered 400", permanent=True)


@pytest.mark.parametrize(
    ("row", "attempt", "error", "result", "fallback"),
    [
        pytest.param(PLAIN, 1, None, Result.SENT, (), id="it arrived"),
        pytest.param(PLAIN, 1, RETRY, Result.RETRY, (), id="worth another try"),
        pytest.param(PLAIN, 1, FINAL, Result.FAILED, (), id="never tried again"),
        pytest.param(PLAIN, ATTEMPTS - 1, RETRY, Result.RETRY, (), id="one try left"),
        pytest.param(PLAIN, ATTEMPTS, RETRY, Result.FAILED, (), id="the last try"),
        pytest.param(COVERED, ATTEMPTS_BEFORE_FALLBACK - 1, RETRY, Result.RETRY, (), id="not yet the fallback's turn"),
        pytest.param(
            COVERED, ATTEMPTS_BEFORE_FALLBACK, RETRY, Result.FAILED, ("mail", "in-app"), id="the fallback's turn"
        ),
        pytest.param(COVERED, 1, FINAL, Result.FAILED, ("mail", "in-app"), id="the fallback's turn at once"),
        pytest.param(COVERED, 9, None, Result.SENT, (), id="late but there"),
    ],
)
def test_what_becomes_of_a_notification(row, attempt, error, result, fallback):
    then = verdict(row, attempt, error, NOON, 0.5)
    assert (then.result, then.fallback) == (result, fallback)
    assert then.status == {"sent": "sent", "retry": "pending", "failed": "failed"}[result]
    assert (then.due_at > NOON) is (result is Result.RETRY)


def test_waiting_doubles_up_to_a_limit_and_half_of_it_is_random():
    longest = [delay(n, None, 1.0).total_seconds() for n in range(1, 15)]
    shortest = [delay(n, None, 0.0).total_seconds() for n in range(1, 15)]
    assert longest[:5] == [1, 2, 4, 8, 16]
    assert longest[-1] == 900
    assert shortest == [seconds / 2 for seconds in longest]


def test_never_sooner_than_the_receiver_asked_but_not_for_ever():
    assert delay(1, 30.0, 0.0).total_seconds() == 30
    assert delay(8, 1.0, 1.0).total_seconds() == 128
    assert delay(1, 1e9, 0.0).total_seconds() == 3600
