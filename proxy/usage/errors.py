"""Answers that are not what was asked for: errors, which bill nothing, and bodies that broke off."""

from data.model import Tokens
from proxy.usage import fields
from proxy.usage.estimate import estimate_tokens
from proxy.usage.usage import Usage


def read_error(data: bytes) -> Usage:
    """Class and message of an error body; an unreadable one (a gateway's HTML) has neither."""
    body = fields.mapping(fields.decode(data))
    name, message = fields.error_of(body.get("error") or body.get("detail"))
    return Usage(complete=True, error_class=name, error_message=message)


def broken_body(data: bytes) -> Usage:
    """What a plain answer that broke off says: its size, if it began as an answer at all."""
    if not data[:100].lstrip().startswith(b"{"):
        return Usage(note="the answer is not JSON" if data else "nothing of the answer was seen")
    tokens = Tokens(output=estimate_tokens(len(data)))
    return Usage(tokens=tokens, note=f"estimated from {len(data)} bytes of a broken answer")
