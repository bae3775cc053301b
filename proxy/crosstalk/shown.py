"""Conversations as the API shows them: values for JSON, and the JSON Schemas of those. Nothing of them is secret."""

from typing import Any, Final

import msgspec

from data.crosstalk import MessageRow, SessionRow, Status
from proxy.crosstalk.session import Session

_encoder = msgspec.json.Encoder(decimal_format="number")
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_MAYBE: Final = {"type": ["number", "null"]}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_NEXT: Final = {"type": ["string", "null"]}


def session(row: SessionRow, unstored: int = 0) -> dict[str, Any]:
    """Return a conversation; `unstored`: how many of its messages the store does not have yet."""
    found = msgspec.structs.asdict(row)
    del found["owner"]
    return {**found, "document": msgspec.json.decode(row.document), "unstored": unstored}


def live(running: Session) -> dict[str, Any]:
    """Return a conversation that runs here."""
    return session(running.row, running.unstored)


def message(row: MessageRow, *, stored: bool = True) -> dict[str, Any]:
    """Return a message."""
    found = msgspec.structs.asdict(row)
    del found["session"]
    return {**found, "stored": stored}


def encoded(value: Any) -> bytes:
    """Return JSON in which money is a number."""
    return _encoder.encode(value)


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _items(of: dict[str, Any]) -> dict[str, Any]:
    return _object(items={"type": "array", "items": of}, next=_NEXT)


SESSION: Final = _object(
    id=_TEXT,
    status={"enum": [*Status]},
    reason=_TEXT,
    message=_TEXT,
    document={"type": "object"},
    turns=_COUNT,
    unstored=_COUNT,
    input_tokens=_COUNT,
    output_tokens=_COUNT,
    cost_usd=_MAYBE,
    created_at=_MOMENT,
    updated_at=_MOMENT,
    ended_at={"type": ["string", "null"]},
)
MESSAGE: Final = _object(
    turn=_COUNT,
    participant=_TEXT,
    model_requested=_TEXT,
    model=_TEXT,
    text=_TEXT,
    stop_reason=_TEXT,
    request_id=_TEXT,
    input_tokens=_COUNT,
    output_tokens=_COUNT,
    cost_usd=_MAYBE,
    duration_ms={"type": "number"},
    created_at=_MOMENT,
    stored={"type": "boolean"},
)
SESSIONS: Final = _items(SESSION)
MESSAGES: Final = _items(MESSAGE)
_SUMS: Final = {
    "requests": _COUNT,
    "input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "unpriced_requests": _COUNT,
    "cost_usd": _MAYBE,
}
STATS: Final = _object(
    **{"from": _MOMENT, "to": _MOMENT},
    running=_COUNT,
    sessions=_object(**dict.fromkeys(map(str, Status), _COUNT)),
    messages=_COUNT,
    mean_turns=_MAYBE,
    mean_turn_ms=_MAYBE,
    **_SUMS,
    models={"type": "array", "items": _object(model=_TEXT, mean_duration_ms=_MAYBE, **_SUMS)},
)
