"""The calls that are under way: kept by reference, and looked at when somebody asks."""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from data.model import RequestStart

#: How many calls are shown, the newest ones.
SHOWN = 50


class Phase(StrEnum):
    """How far a call is."""

    PREPARING = "preparing"  # the request has not left yet
    SENDING = "sending"  # an upload, as it comes
    WAITING = "waiting"  # for the head of the provider's answer
    RECEIVING = "receiving"  # the body


class Watched(Protocol):
    """A call's own state, read when somebody looks; `proxy.account.Account` is one."""

    @property
    def phase(self) -> Phase:
        """How far it is."""
        ...

    @property
    def bytes_seen(self) -> int:
        """Bytes of the answer's body so far."""
        ...


class InFlight:
    """Attempts that have begun and not ended, by the id of their ledger row."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[RequestStart, Watched | None]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def begun(self, start: RequestStart, watched: Watched | None) -> None:
        """An attempt begins; it is kept until it ends."""
        self._calls[start.id] = (start, watched)

    def ended(self, record_id: str) -> None:
        """It ends; one that was not known is none."""
        self._calls.pop(record_id, None)

    def by_provider(self) -> Counter[str]:
        """Return how many there are of each provider."""
        return Counter(start.provider for start, _ in self._calls.values())

    def shown(self, now_us: int) -> list[dict[str, Any]]:
        """Return the newest ones, newest first. `now_us`: UTC microseconds."""
        newest: Iterator[tuple[RequestStart, Watched | None]] = islice(reversed(self._calls.values()), SHOWN)
        return [_shown(start, watched, now_us) for start, watched in newest]


def _shown(start: RequestStart, watched: Watched | None, now_us: int) -> dict[str, Any]:
    return {
        "id": start.id,
        "request_id": start.request_id,
        "attempt": start.attempt,
        "cause": start.cause,
        "provider": start.provider,
        "credential": start.credential,
        "endpoint": start.endpoint,
        "model": start.model_sent or start.model_requested,
        "stream": start.stream,
        "key": start.key,
        "project": start.project,
        "session": start.session,
        "age_s": round(max(now_us - start.started_at, 0) / 1e6, 3),
        "phase": Phase.WAITING if watched is None else watched.phase,
        "bytes": 0 if watched is None else watched.bytes_seen,
    }
