"""When rules are due: one job a cadence, and how many evaluations of each did not happen in time."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from engine.desk import EvaluatorStatus
from engine.history import EPOCH
from engine.move import Watched
from engine.punctuality import Punctuality

#: Rows may take this long from the end of a request to the store; ticks look at the ledger as it was then.
LEDGER_DELAY = timedelta(seconds=1)
_log = logging.getLogger(__name__)


def instant(now: datetime) -> datetime:
    """The instant to evaluate at: whole seconds, late enough for the ledger to be complete."""
    return (now - LEDGER_DELAY).replace(microsecond=0)


class Cadences:
    """Calls `evaluate(some, work)` with those of the `rules`, by id, whose cadence is due, while it `may`.

    Counts in `status` what is missed. For the event loop's thread only.
    """

    def __init__(
        self,
        status: EvaluatorStatus,
        *,
        rules: Callable[[], Mapping[str, Watched]],
        evaluate: Callable[[Sequence[Watched], str], Awaitable[None]],
        may: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._status, self._rules, self._evaluate, self._may, self._now = status, rules, evaluate, may, now
        self._punctuality = Punctuality()
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        """Begin to call."""
        self._scheduler.start()

    def shutdown(self) -> None:
        """Call no more; what is under way goes on."""
        self._scheduler.shutdown(wait=False)

    def clear(self) -> None:
        """Forget all cadences."""
        self._scheduler.remove_all_jobs()

    def set_back(self, by: timedelta) -> None:
        """The clock was set back by so much: go by it as it is now. What is due meanwhile counts as missed."""
        self._punctuality.set_back(by)
        for seconds in self.seconds:
            self._scheduler.remove_job(str(seconds))
            self._add_job(seconds)

    @property
    def seconds(self) -> tuple[int, ...]:
        """Those that there are, in order."""
        return tuple(sorted(int(job.id) for job in self._scheduler.get_jobs()))

    def schedule(self, evaluated: Mapping[str, datetime]) -> None:
        """Follow the rules as they are now: cadences begin, and those that nobody uses any more end.

        `evaluated` is when rules were last evaluated, by id: a cadence that begins has missed what fell due since.
        """
        rules = self._rules()
        wanted = sorted({_seconds(rule) for rule in rules.values()})
        for job in self._scheduler.get_jobs():
            if int(job.id) not in wanted:
                job.remove()
        for seconds in wanted:
            if self._scheduler.get_job(str(seconds)) is None:
                self._begin(seconds, rules, evaluated)
                self._add_job(seconds)
        self._status.rules, self._status.cadences_s = len(rules), tuple(wanted)

    def _begin(self, seconds: int, rules: Mapping[str, Watched], evaluated: Mapping[str, datetime]) -> None:
        at = instant(self._now())
        mine = [evaluated[each] for each in evaluated.keys() & rules if _seconds(rules[each]) == seconds]
        self._count_missed(seconds, self._punctuality.begin(seconds, max(mine, default=at), at))

    def _add_job(self, seconds: int) -> None:
        self._scheduler.add_job(
            self._beat,
            # a second after the full period, so that the windows end on it and the ledger is complete up to there
            IntervalTrigger(seconds=seconds, start_date=EPOCH + LEDGER_DELAY, timezone=UTC),
            args=[seconds],
            id=str(seconds),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=max(seconds, 1),
        )

    async def _beat(self, seconds: int) -> None:
        mine = [rule for rule in self._rules().values() if _seconds(rule) == seconds]
        if mine and self._may():
            self._count_missed(seconds, self._punctuality.evaluated(seconds, instant(self._now())))
            await self._evaluate(mine, f"the evaluation every {seconds} s")

    def _missed(self, event: JobExecutionEvent | JobSubmissionEvent) -> None:
        due = event.scheduled_run_times[-1] if isinstance(event, JobSubmissionEvent) else event.scheduled_run_time
        seconds = int(event.job_id)
        self._count_missed(seconds, self._punctuality.missed(seconds, due - LEDGER_DELAY))

    def _count_missed(self, seconds: int, missed: int) -> None:
        if missed:
            self._status.missed_ticks += missed
            _log.warning("%d evaluations of the rules evaluated every %d s were missed", missed, seconds)


def _seconds(rule: Watched) -> int:
    return int(rule.rule.every.total_seconds())
