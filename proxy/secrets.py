"""Keeps credentials out of what is stored and shown: those of the call itself, and whatever looks like one."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from yarl import URL

R = TypeVar("R", bound=msgspec.Struct)

MASK: Final = "[masked]"
OTHER: Final = "other"
#: A shorter secret is none, and its letters are in every text.
_MIN_SECRET: Final = 4
#: Texts of this length may have been cut, within a secret too.
_MAY_BE_CUT: Final = 100
_QUERY_KEYS: Final = ("key", "api_key", "api-key", "access_token", "token")
_LOOKS_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|xai)[-_][\w*.\-]{3,}"
    r"|AIza[\w\-]{10,}"
    r"|(?i:bearer)\s+\S+"
    r"|(?i:key|token|secret|password)(?:\\?[\"'])?\s*[=:]\s*(?:\\?[\"'])?[\w\-.~+/*]{20,}"
)
_CLASS: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_LONG_TOKEN: Final = re.compile(r"(?=[a-z]*[0-9])[a-z0-9]{20,}")


def secrets_of(headers: Mapping[str, str], url: URL, configured: str = "") -> tuple[str, ...]:
    """Return the credentials a request came with, and the provider's configured one."""
    authorization = headers.get("authorization", "")
    said = [headers.get("x-api-key", ""), authorization, authorization.partition(" ")[2].strip(), configured]
    if url.raw_query_string:
        said += [url.query.get(name, "") for name in _QUERY_KEYS]
    # the longer ones first: one may be part of another
    return tuple(sorted({secret for secret in said if len(secret) >= _MIN_SECRET}, key=len, reverse=True))


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without `secrets`, and without what looks like one."""
    for secret in secrets:
        text = text.replace(secret, MASK)
        if len(text) >= _MAY_BE_CUT:
            text = _without_start_of(secret, text)
    return _LOOKS_SECRET.sub(MASK, text)


def scrubbed(record: R, secrets: tuple[str, ...]) -> R:
    """Return the record with all its texts masked; the same one where there is nothing to mask."""
    texts = {name: value for name in record.__struct_fields__ if type(value := getattr(record, name)) is str and value}
    tags: dict[str, str] = getattr(record, "tags", {})
    whole = "\n".join((*texts.values(), *tags, *tags.values()))
    cut = any(len(text) >= _MAY_BE_CUT for text in texts.values())
    if not (cut or any(secret in whole for secret in secrets) or _LOOKS_SECRET.search(whole)):
        return record
    changes: dict[str, object] = {name: masked(text, secrets) for name, text in texts.items()}
    if changes.get("error_class") != texts.get("error_class"):
        changes["error_class"] = OTHER
    if tags:
        changes["tags"] = {masked(name, secrets): masked(value, secrets) for name, value in tags.items()}
    return msgspec.structs.replace(record, **changes)


def error_class(name: str) -> str:
    """Return a provider's word for an error where it can be a label: short, plain, and no token; else 'other'."""
    if not name:
        return ""
    name = name.lower()
    return OTHER if not _CLASS.fullmatch(name) or _LONG_TOKEN.search(name) else name


def _without_start_of(secret: str, text: str) -> str:
    for length in range(len(secret) - 1, _MIN_SECRET - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + MASK
    return text
