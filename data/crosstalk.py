"""A conversation of models as it is kept: what was posted, how far it has come, and what each turn said. No I/O."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

import msgspec


class Status(StrEnum):
    """Where a conversation stands."""

    RUNNING = "running"
    FINISHED = "finished"  # as its document says: after max_turns, at its stop_phrase or its max_cost
    STOPPED = "stopped"  # somebody asked for it
    FAILED = "failed"  # a turn could not be had
    INTERRUPTED = "interrupted"  # its proxy ended


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `crosstalk_sessions`.

    `document` is JSON text. `reason` is a word, `message` says more where it failed. `cost_usd` is the ledger's own
    sum of its calls, None while none has a price. Times are aware UTC.
    """

    id: str
    owner: str
    status: Status
    reason: str = ""
    message: str = ""
    document: str
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Return the row as it came from the store."""
        return cls(**{**_aware(row), "status": Status(row["status"])})


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `crosstalk_messages`: one turn. `cost_usd` None: not known."""

    session: str
    turn: int
    participant: str
    model_requested: str
    model: str
    text: str
    stop_reason: str
    request_id: str  # of the ledger's rows
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    duration_ms: float
    created_at: datetime

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Return the row as it came from the store."""
        return cls(**_aware(row))


def _aware(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()}
