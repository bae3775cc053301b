"""How many notices a channel takes in a time: a token bucket. Pure: time is an argument."""

from dataclasses import dataclass
from datetime import datetime

from data.config import WorkerConfig

_CONFIG = WorkerConfig()


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `burst` at once, and `per_minute` on average."""

    per_minute: float = 20.0
    burst: int = 60


#: Over all channels together, where nothing else is configured.
OVERALL = Limit(_CONFIG.notices_per_minute, _CONFIG.notices_burst)


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many notices could be sent at `at`; below zero after two had been taken from it at the same time."""

    limit: Limit
    level: float
    at: datetime

    @classmethod
    def full(cls, limit: Limit, at: datetime) -> "Bucket":
        """One that nothing was taken from for long."""
        return cls(limit, float(limit.burst), at)

    def filled(self, now: datetime) -> "Bucket":
        """The bucket at `now`; a clock that was set back adds nothing."""
        minutes = max((now - self.at).total_seconds(), 0.0) / 60
        return Bucket(self.limit, min(self.level + minutes * self.limit.per_minute, self.limit.burst), now)

    def taken(self) -> "Bucket | None":
        """The bucket without one notice; None where there is none to take."""
        return Bucket(self.limit, self.level - 1, self.at) if self.level >= 1 else None
