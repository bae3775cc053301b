"""A dead man's switch: a service elsewhere is told that all is well, and raises the alarm when it no longer is."""

from datetime import datetime, timedelta

import msgspec

from engine.channels.http import HttpSender
from engine.desk import Desk, EvaluatorStatus
from engine.errors import Unwell
from engine.housekeeping.job import Job

#: An evaluation that is this many cadences late stands still.
_LATE = 3
_GRACE = timedelta(seconds=30)


class Misses:
    """Evaluations that did not happen in time, from one look to the next."""

    def __init__(self, status: EvaluatorStatus) -> None:
        self._status = status
        self._seen = self._before = status.missed_ticks

    def since(self) -> str:
        """What was missed since the last look, in words; '' for nothing."""
        self._before, self._seen = self._seen, self._status.missed_ticks
        missed = self._seen - self._before
        last = f"the last one took {self._status.last_tick_ms:,.0f} ms"
        return f"{missed:,} evaluation{'s' * (missed > 1)} did not happen in time; {last}" if missed else ""

    def untold(self) -> None:
        """What the last look found is still to be told: let the next one find it again."""
        self._seen = self._before


class Failures:
    """Evaluations that failed from one look to the next, also where those of other rules went well since."""

    def __init__(self, status: EvaluatorStatus) -> None:
        self._status = status
        self._seen = status.failed_ticks

    def since(self) -> str:
        """How many failed since the last look, in words; '' for none."""
        failed, self._seen = self._status.failed_ticks - self._seen, self._status.failed_ticks
        return f"{failed:,} evaluation{'s' * (failed > 1)} failed, the worker's log says why" if failed else ""


def heartbeat(desk: Desk, http: HttpSender) -> Job:
    """The job. It fails, and tells nobody, while something is wrong: the silence is the alarm.

    Where evaluations were missed, or failed, since the last beat, this one is left out.
    """
    worker, misses, failures = desk.config.worker, Misses(desk.status), Failures(desk.status)

    async def run(at: datetime) -> str:
        since = misses.since(), failures.since()
        if why := trouble(desk, at) or "; ".join(filter(None, since)):
            raise Unwell(f"not sent: {why}")
        body = msgspec.json.encode({"status": "ok", "time": at, "worker": desk.status.holder})
        headers = {"content-type": "application/json"}
        receipt = await http.post(worker.heartbeat_url, body=body, headers=headers, allow_private=True)
        return f"sent, answered {receipt.status}"

    return Job("heartbeat", "Tell a service elsewhere that all is well", timedelta(seconds=worker.heartbeat_s), run)


def trouble(desk: Desk, at: datetime) -> str:
    """Why nobody may rely on alerts now; '' while they may."""
    status = desk.status
    if status.store_error:
        return f"the store is away ({status.store_error})"
    if status.last_error:
        return f"the last evaluation failed ({status.last_error})"
    if not status.rules or not status.cadences_s:
        return ""
    allowed = timedelta(seconds=min(status.cadences_s)) * _LATE + _GRACE
    if status.last_tick_at is not None and at - status.last_tick_at > allowed:
        return f"no rule was evaluated since {status.last_tick_at:%Y-%m-%d %H:%M:%S} UTC"
    if status.last_tick_at is not None and status.last_tick_at - at > _GRACE:
        return f"no rule was evaluated since the clock was set back, at {status.last_tick_at:%Y-%m-%d %H:%M:%S} UTC"
    return ""
