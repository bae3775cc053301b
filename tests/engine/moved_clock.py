"""A clock that can be set, also for the scheduler, which reads the time by itself."""

from datetime import UTC, datetime, timedelta

import pytest


class MovedClock:
    """The present, `by` so much ahead of what it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.by = timedelta(0)
        moved = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + moved.by

        for module in ("schedulers.base", "triggers.interval", "executors.base"):
            monkeypatch.setattr(f"apscheduler.{module}.datetime", Moved)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by
