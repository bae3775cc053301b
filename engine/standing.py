"""How channels stand with their receivers, for whoever asks: whether each is sent to, rests, or is being tried."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.queries import failures
from data.store import Store
from engine.breaker import OPENS_AFTER, Breaker, Phase


@dataclass(frozen=True, slots=True)
class Standing:
    """A channel's breaker: its phase and since when (None: as far back as is known), and its failures in a row.

    `next_probe_at` is when one send tries, or may try, whether the channel is back; None while all is well.
    """

    state: Phase = Phase.CLOSED
    since: datetime | None = None
    next_probe_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None


def standings(store: Store, now: datetime) -> Mapping[str, Standing]:
    """Every channel's standing by its name, learned from the rows as the sender learns it."""
    found = failures.in_a_row(store, OPENS_AFTER).iter_rows(named=True)
    return defaultdict(Standing, {row["channel"]: _standing(row, now) for row in found})


def _standing(row: Mapping[str, Any], now: datetime) -> Standing:
    breaker = Breaker(row["failures"], row["last_at"])
    phase, probe = breaker.phase(now), breaker.rests_until
    since = {Phase.CLOSED: None, Phase.OPEN: row["nth_at"], Phase.HALF_OPEN: probe}[phase]
    return Standing(phase, since, probe, breaker.failures, row["since"])
