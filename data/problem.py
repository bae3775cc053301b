"""The problem document of RFC 9457, which every API here answers a fault with. Pure."""

from collections.abc import Mapping
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"

#: The document as JSON Schema, for descriptions of an API.
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def problem_document(status: int, title: str, detail: str) -> dict[str, Any]:
    """Return the document of a fault."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}
