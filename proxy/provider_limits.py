"""How near each credential of a provider is to the provider's own limits, and when one will be exhausted.

How the time to exhaustion is found: a count's pace is what it lost within the last minute, what was refilled taken
off, a second; a window's is what was used of it since it began, a second. At that pace what remains lasts so long;
where it lasts until the reset, nothing will be exhausted. A count that rises by more than a tenth of its limit was
refilled or reset: its pace is measured anew. Pure: time is an argument, seconds since the epoch.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from proxy.limit_headers import TELLING, Limit, Told, read_limits
from proxy.limit_history import LimitHistory

MAX_ACCOUNTS: Final = 500
#: Headers are read once in so many seconds; of those between only the last ones are looked at.
_EVERY_S: Final = 1.0
_MEASURED_S: Final = 60.0
_SAMPLES: Final = 128
_SHORTEST_S: Final = 5.0  # a pace is measured over no less
_WINDOW_SHORTEST_S: Final = 60.0
_NEAR_SHARE: Final = 0.1
_NEAR_S: Final = 300.0


class Gauge(NamedTuple):
    """One limit as metrics show it."""

    provider: str
    credential: str
    name: str
    limit: float | None
    remaining: float


class _Account:
    """What one provider told one credential."""

    __slots__ = ("_paces", "headers", "read_s", "seen_s", "told")

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.seen_s = self.read_s = 0.0
        self.told = Told(())
        self._paces: dict[str, deque[tuple[float, float]]] = {}

    def read(self) -> bool:
        """Read the last headers, and remember what they tell for the pace; whether there was anything to read."""
        if self.read_s == self.seen_s:
            return False
        self.read_s = self.seen_s
        self.told = read_limits(self.headers, self.seen_s)
        for limit in self.told.limits:
            _remember(self._paces.setdefault(limit.name, deque(maxlen=_SAMPLES)), limit, self.seen_s)
        return True

    def pace(self, limit: Limit, now_s: float) -> float | None:
        """Return how much is used a second; None where that cannot be said yet."""
        if limit.length_s is not None:
            return _window_pace(limit, now_s)
        samples = [sample for sample in self._paces.get(limit.name, ()) if sample[0] >= now_s - _MEASURED_S]
        if not samples or now_s - samples[0][0] < _SHORTEST_S:
            return None
        return max((samples[0][1] - samples[-1][1]) / (now_s - samples[0][0]), 0.0)


class ProviderLimits:
    """The limits that providers told; `history` has what is to be kept of it. Use it from the event loop."""

    def __init__(self) -> None:
        self.history = LimitHistory()
        self._accounts: dict[tuple[str, str], _Account] = {}

    def seen(self, provider: str, credential: str, headers: Mapping[str, str], now_s: float) -> None:
        """An answer's headers came. `headers` finds names in any case, and does not change any more."""
        for name in TELLING:
            if name in headers:
                break
        else:
            return
        account = self._accounts.get((provider, credential))
        if account is None:
            account = self._new(provider, credential)
        account.headers, account.seen_s = headers, now_s
        if not 0 <= now_s - account.read_s < _EVERY_S:
            self._read_account((provider, credential), account)

    def read(self) -> None:
        """Read the headers that came last."""
        self._read()

    def report(self, now_s: float) -> list[dict[str, Any]]:
        """Return an item a credential, as `/api/system/limits` shows it; the last seen first."""
        items = [_shown(*key, account, now_s) for key, account in self._read()]
        return sorted(items, key=lambda item: str(item["seen_at"]), reverse=True)

    def near(self, now_s: float) -> dict[str, list[str]]:
        """Return by provider the limits that are nearly or soon exhausted, in words."""
        found: dict[str, list[str]] = {}
        for (provider, credential), account in self._read():
            for limit in account.told.limits:
                shown = _limit(limit, account.pace(limit, now_s), now_s)
                if shown["near"]:
                    found.setdefault(provider, []).append(_words(credential, limit))
        return found

    def gauges(self) -> Iterator[Gauge]:
        """Give each limit's present values."""
        for (provider, credential), account in self._read():
            for limit in account.told.limits:
                yield Gauge(provider, credential, limit.name, limit.limit, limit.remaining)

    def _read(self) -> list[tuple[tuple[str, str], _Account]]:
        for key, account in self._accounts.items():
            self._read_account(key, account)
        return list(self._accounts.items())

    def _read_account(self, key: tuple[str, str], account: _Account) -> None:
        if account.read():
            for limit in account.told.limits:
                self.history.take(*key, limit, account.read_s)

    def _new(self, provider: str, credential: str) -> _Account:
        if len(self._accounts) >= MAX_ACCOUNTS:
            del self._accounts[min(self._accounts, key=lambda key: self._accounts[key].seen_s)]
        account = self._accounts[provider, credential] = _Account()
        return account


def exhausted_in_s(limit: Limit, pace: float | None, now_s: float) -> float | None:
    """Return in how many seconds nothing is left at this pace; None where the reset comes first, or nothing is used."""
    if limit.reset_s is not None and limit.reset_s <= now_s:
        return None
    if limit.remaining <= 0:
        return 0.0
    if not pace:
        return None
    after_s = limit.remaining / pace
    return after_s if limit.reset_s is None or now_s + after_s < limit.reset_s else None


def _remember(samples: deque[tuple[float, float]], limit: Limit, at_s: float) -> None:
    if samples:
        last_s, remaining = samples[-1]
        if at_s <= last_s or limit.remaining > remaining + (limit.limit or 0.0) / 10:
            samples.clear()
    samples.append((at_s, limit.remaining))


def _window_pace(limit: Limit, now_s: float) -> float | None:
    if limit.reset_s is None or limit.length_s is None:
        return None
    passed_s = now_s - (limit.reset_s - limit.length_s)
    return (1.0 - limit.remaining) / passed_s if _WINDOW_SHORTEST_S <= passed_s <= limit.length_s else None


def _shown(provider: str, credential: str, account: _Account, now_s: float) -> dict[str, Any]:
    return {
        "provider": provider,
        "credential": credential,
        "seen_at": _iso(account.seen_s),
        "status": account.told.status,
        "limits": [_limit(limit, account.pace(limit, now_s), now_s) for limit in account.told.limits],
    }


def _limit(limit: Limit, pace: float | None, now_s: float) -> dict[str, Any]:
    left_s = exhausted_in_s(limit, pace, now_s)
    share = min(limit.remaining / limit.limit, 1.0) if limit.limit else None
    passed = limit.reset_s is not None and limit.reset_s <= now_s
    return {
        "name": limit.name,
        "unit": "share" if limit.length_s is not None else limit.name.rpartition("_")[2],
        "limit": limit.limit,
        "remaining": limit.remaining,
        "remaining_share": None if share is None else round(share, 6),
        "reset_at": None if limit.reset_s is None else _iso(limit.reset_s),
        "reset_passed": passed,
        "used_per_second": None if pace is None else round(pace, 9),
        "exhausted_in_s": None if left_s is None else round(left_s, 3),
        "near": not passed
        and ((share is not None and share < _NEAR_SHARE) or (left_s is not None and left_s < _NEAR_S)),
    }


def _words(credential: str, limit: Limit) -> str:
    whose = f" of {credential}" if credential else ""
    if limit.length_s is not None:
        return f"{limit.name} window{whose}: {limit.remaining:.0%} left"
    most = "" if limit.limit is None else f" of {limit.limit:,.0f}"
    return f"{limit.name.replace('_', ' ')}{whose}: {limit.remaining:,.0f}{most} left"


def _iso(at_s: float) -> str | None:
    try:
        return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
