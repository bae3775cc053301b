"""Which evaluations of a cadence did not happen in time: the full periods that went by between two of them."""

from datetime import datetime, timedelta

from engine.history import EPOCH


def periods(last: datetime, at: datetime, every: timedelta) -> int:
    """How many evaluations fell due in (last, at], on full multiples of `every`; 0 where the clock was set back."""
    return max((at - EPOCH) // every - (last - EPOCH) // every, 0)


class Punctuality:
    """For each cadence (in seconds), up to when its evaluations have happened or are counted as missed."""

    def __init__(self) -> None:
        self._last: dict[int, datetime] = {}

    def begin(self, seconds: int, last: datetime, at: datetime) -> int:
        """A cadence is taken up; how many evaluations did not happen since the last one, by whichever worker."""
        self._last[seconds] = last
        return self.evaluated(seconds, at)

    def evaluated(self, seconds: int, at: datetime) -> int:
        """Note an evaluation; how many did not happen between the last one and it, that are not counted yet."""
        last = self._last.get(seconds, at)
        self._last[seconds] = at
        return max(periods(last, at, timedelta(seconds=seconds)) - 1, 0)

    def missed(self, seconds: int, due: datetime) -> int:
        """Note that an evaluation does not happen when it is due; how many that makes, with uncounted ones before."""
        last = self._last.get(seconds, due)
        self._last[seconds] = max(last, due)
        return max(periods(last, due, timedelta(seconds=seconds)), 1)

    def set_back(self, by: timedelta) -> None:
        """The clock was set back by so much: what happened before did so on the clock as it is now."""
        self._last = {seconds: last - by for seconds, last in self._last.items()}
