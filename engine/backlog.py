"""What the sender knows to be due, by channel, from one look at the outbox to the next. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from data.queries.notifications import NotificationRow
from engine.breakers import Plan


@dataclass(slots=True)
class Backlog:
    """Due notifications, oldest first in each channel; `each`: how many of a channel a look finds at most."""

    each: int
    _rows: dict[str, list[NotificationRow]] = field(default_factory=dict)
    _cut: set[str] = field(default_factory=set)

    def fill(self, due: Iterable[NotificationRow]) -> None:
        """Forget what was known: this is due now."""
        self._rows = {}
        for row in due:
            self._rows.setdefault(row.channel, []).append(row)
        self._cut = {channel for channel, rows in self._rows.items() if len(rows) >= self.each}

    @property
    def channels(self) -> list[str]:
        """The channels that something is due to."""
        return [channel for channel, rows in self._rows.items() if rows]

    def take(
        self, channel: str, places: int, plan: Callable[[NotificationRow], Plan]
    ) -> list[tuple[NotificationRow, Plan]]:
        """Remove and return what does not have to wait, `places` at most; `plan` is asked of each in turn."""
        taken: list[tuple[NotificationRow, Plan]] = []
        left = []
        for row in self._rows[channel]:
            what = plan(row) if len(taken) < places else Plan.WAIT
            if what is Plan.WAIT:
                left.append(row)
            else:
                taken.append((row, what))
        self._rows[channel] = left
        return taken

    @property
    def hides_more(self) -> bool:
        """Whether a channel is used up of which the last look did not find all."""
        return any(not self._rows[channel] for channel in self._cut)
