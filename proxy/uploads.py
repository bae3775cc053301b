"""Which calls are uploads: their body is passed on as it comes, since nothing in the proxy looks at it. Pure."""

from collections.abc import Mapping
from typing import Final

from data.model import Endpoint
from proxy.endpoints import Asked

#: A shorter body is read first: it costs next to no memory, and may be sent again after a failure.
AT_ONCE_BYTES: Final = 256 * 1024
#: No model, no stream and no counts are read from the files that are sent to these.
UNREAD: Final = frozenset({Endpoint.FILES, Endpoint.OTHER})
_SENDING: Final = frozenset({"POST", "PUT", "PATCH"})
#: What is a file, or a form with one in it. Whatever may be JSON is none.
_TYPES: Final = ("multipart/", "audio/", "image/", "video/", "application/octet-stream", "application/pdf")


def is_upload(asked: Asked, headers: Mapping[str, str], length: int | None) -> bool:
    """Whether a request's body is passed on as it comes. `length`: what its headers say, None where they do not."""
    if asked.endpoint not in UNREAD or asked.method not in _SENDING:
        return False
    is_long = "Transfer-Encoding" in headers if length is None else length > AT_ONCE_BYTES
    return is_long and headers.get("Content-Type", "").strip().lower().startswith(_TYPES)
