"""Answers that are not what was asked for: errors, which bill nothing, and bodies that broke off."""

from typing import Final

from data.model import Tokens
from proxy.usage import fields
from proxy.usage.estimate import estimate_tokens
from proxy.usage.usage import Usage


def is_unexpected(status: int) -> bool:
    """Whether no provider gives this status to a call that asks a model: neither an answer nor an error."""
    return not 200 <= status <= 599 or status == 204 or 300 <= status <= 399


def read_error(data: bytes) -> Usage:
    """Class and message of an error body; an unreadable one (a gateway's HTML) has neither."""
    found = fields.decode(data)
    body = fields.mapping(found[0] if isinstance(found, list) and found else found)  # Google's streams are lists
    name, message = fields.error_of(body.get("error") or body.get("detail"))
    return Usage(complete=True, error_class=name, error_message=message)


#: The class of an answer that is not what its protocol says; it may have been charged all the same.
UNREADABLE_ANSWER: Final = "unreadable_answer"


def broken_body(data: bytes) -> Usage:
    """What a plain answer that broke off says: its size, if it began as an answer at all."""
    if not data[:100].lstrip().startswith(b"{"):
        note = "the answer is not JSON" if data else "nothing of the answer was seen"
        return Usage(note=note, error_class=UNREADABLE_ANSWER)
    tokens = Tokens(output=estimate_tokens(len(data)))
    note = f"estimated from {len(data)} bytes of a broken answer"
    return Usage(tokens=tokens, note=note, error_class=UNREADABLE_ANSWER)
