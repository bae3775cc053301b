"""Who changed what."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import uuid_utils

from data.queries import audit
from data.store import Statement


def entry(
    actor: str, action: str, kind: str, object_id: str, *, at: datetime, detail: Mapping[str, Any] | None = None
) -> Statement:
    """A line of the audit log, to be committed with the change it describes; `detail` holds no secrets."""
    return audit.auditing(
        new_id(),
        at=at,
        actor=actor,
        action=action,
        kind=kind,
        object_id=object_id,
        detail=orjson.dumps(detail or {}, default=str).decode(),
    )


def new_id() -> str:
    """A fresh UUIDv7: ids sort by the time they were made."""
    return str(uuid_utils.uuid7())


def clock() -> datetime:
    """The present, for the shell's edges; everything below takes time as an argument."""
    return datetime.now(UTC)
