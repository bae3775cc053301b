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
        new_id(), at=at, actor=actor, action=action, kind=kind, object_id=object_id, detail=_packed(detail or {})
    )


def entries(actor: str, action: str, kind: str, details: Mapping[str, Mapping[str, Any]], *, at: datetime) -> Statement:
    """As `entry`, a line for each of these objects, by id, with its detail; there is one at least."""
    lines = [(new_id(), object_id, _packed(detail)) for object_id, detail in details.items()]
    return audit.auditing_all(lines, at=at, actor=actor, action=action, kind=kind)


def _packed(detail: Mapping[str, Any]) -> str:
    return orjson.dumps(detail, default=str).decode()


def new_id() -> str:
    """A fresh UUIDv7: ids sort by the time they were made."""
    return str(uuid_utils.uuid7())


def clock() -> datetime:
    """The present, for the shell's edges; everything below takes time as an argument."""
    return datetime.now(UTC)
