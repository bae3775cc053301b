"""How noisy a replayed rule would have been: what came to each channel on each day. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from engine.said import Said


@dataclass(frozen=True, slots=True)
class Noise:
    """One channel's day: notices and digests that arrived, and by reason what it was not told."""

    day: date
    channel: str
    notices: int
    digests: int
    silent: Mapping[str, int]


def noise(told: Said, zone: ZoneInfo) -> tuple[Noise, ...]:
    """By day of the zone and channel; days on which a channel had nothing are left out."""
    arrived: Counter[tuple[date, str, bool]] = Counter()
    for message in told.messages:
        arrived[message.time.astimezone(zone).date(), message.channel, message.digest] += 1
    silent: dict[tuple[date, str], Counter[str]] = defaultdict(Counter)
    for notice in told.notices:
        if not notice.reason.notifies:
            silent[notice.time.astimezone(zone).date(), notice.channel][notice.reason.value] += 1
    places = sorted({(day, channel) for day, channel, _ in arrived} | silent.keys())
    return tuple(
        Noise(
            day,
            channel,
            arrived[day, channel, False],
            arrived[day, channel, True],
            dict(silent.get((day, channel), {})),
        )
        for day, channel in places
    )
