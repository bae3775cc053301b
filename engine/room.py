"""What channels still take while the results of sends are recorded, and what that takes from them."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from data.queries import rates
from data.store import Statement, Store
from engine.post import terms
from engine.terms import Purse


@dataclass(slots=True)
class Room:
    """The buckets as they stand at `at`, read when the first is asked for; raises the store's errors then."""

    store: Store
    at: datetime
    _purse: Purse | None = None
    _spent: Counter[str] = field(default_factory=Counter)

    def take(self, channel: str) -> bool:
        """Whether one more may be sent to the channel; then it is taken, from all channels' bucket too."""
        self._purse = self._purse or Purse(terms(self.store, self.at), self.at)
        taken = self._purse.take(channel)
        self._spent[channel] += taken
        return taken

    def spending(self) -> list[Statement]:
        """What writes down all that was taken."""
        return rates.spending(self._purse.spent(self._spent)) if self._purse else []
