"""What channels take: many groups in one notice or each by itself, which ends, how many notices in a time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.bucket import OVERALL, Bucket, Limit

#: The bucket of all channels together.
ALL = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """By channel: its bucket as it was read (none: full, of the usual limit), and whether it takes bundles.

    Those in `whole` are told of no end before all is over that they were told of.
    """

    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    bundling: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()


class Purse:
    """What may still be sent at `at`, while one decision after the other takes from it."""

    def __init__(self, terms: Terms, at: datetime) -> None:
        self._at = at
        self._buckets = {name: bucket.filled(at) for name, bucket in terms.buckets.items()}
        self._buckets.setdefault(ALL, Bucket.full(OVERALL, at))

    def take(self, channel: str) -> bool:
        """Whether one more may be sent to the channel; then it is taken, from all channels' bucket too."""
        mine = self._buckets.get(channel, Bucket.full(Limit(), self._at)).taken()
        everybodys = self._buckets[ALL].taken()
        if mine is None or everybodys is None:
            return False
        self._buckets |= {channel: mine, ALL: everybodys}
        return True

    def spent(self, channels: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """Rows of `rate_buckets` for what was taken, by channel and over all."""
        counts = {**channels, ALL: sum(channels.values())}
        return tuple(self._row(channel, count) for channel, count in counts.items() if count)

    def _row(self, channel: str, count: int) -> dict[str, Any]:
        limit = self._buckets[channel].limit
        return {
            "channel": channel,
            "level": limit.burst - count,
            "at": self._at,
            "per_minute": limit.per_minute,
            "burst": limit.burst,
            "spent": count,
        }
