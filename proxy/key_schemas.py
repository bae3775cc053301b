"""What /api/keys answers, as JSON Schema: what a key says (see `KeyDocument`), and what is known of it."""

from collections.abc import Mapping
from typing import Any, Final

_TIME: Final = {"type": "string", "format": "date-time"}
_TIME_OR_NONE: Final = {"type": ["string", "null"], "format": "date-time"}
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_LIMIT: Final = {"type": ["integer", "null"], "minimum": 1}
_SECRETS: Final = {
    "type": "array",
    "description": "Those that hold now: what may be seen of each, and when it ends.",
    "items": {
        "type": "object",
        "required": ["shown", "expires_at"],
        "properties": {"shown": _TEXT, "expires_at": _TIME_OR_NONE},
    },
}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "name": _TEXT,
    "owner": _TEXT,
    "team": _TEXT,
    "project": _TEXT,
    "tags": {"type": "object", "additionalProperties": _TEXT},
    "models": _TEXTS,
    "endpoints": _TEXTS,
    "routes": {"type": "array", "items": {"type": "object"}},
    "requests_per_minute": _LIMIT,
    "tokens_per_minute": _LIMIT,
    "max_parallel": _LIMIT,
    "expires_at": _TIME_OR_NONE,
    "enabled": {"type": "boolean"},
    "status": {"enum": ["active", "disabled", "expired", "revoked"]},
    "secrets": _SECRETS,
    "version": {
        "type": "integer",
        "minimum": 1,
        "description": "Counts its changes; sent with a PUT, it is refused (409) where the key has changed since.",
    },
    "created_at": _TIME,
    "updated_at": _TIME,
    "revoked_at": _TIME_OR_NONE,
}

#: One key.
KEY: Final[Mapping[str, Any]] = {"type": "object", "required": list(_PROPERTIES), "properties": dict(_PROPERTIES)}
#: One with the secret that it has just been given.
NEW_KEY: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": [*_PROPERTIES, "secret"],
    "properties": {**_PROPERTIES, "secret": {"type": "string", "description": "It is in this answer alone."}},
}
#: A page of them.
KEYS: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["items", "next"],
    "properties": {
        "items": {"type": "array", "items": KEY},
        "next": {"type": ["string", "null"], "description": "The cursor of the next page."},
    },
}
