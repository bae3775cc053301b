"""Embeddings, OpenAI's and Gemini's: only what went in counts."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from data.model import Tokens
from proxy.usage import fields
from proxy.usage.errors import broken_body
from proxy.usage.gemini import other_prices
from proxy.usage.openai import chat_tokens
from proxy.usage.usage import Billing, Usage

#: What Gemini's embedding models charge otherwise than text.
_SEEN: Final = frozenset({"AUDIO", "IMAGE", "VIDEO", "DOCUMENT"})


class _Body(msgspec.Struct):
    """The fields that are read; the vectors are skipped unread."""

    model: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    # Gemini's
    metadata: msgspec.Raw = msgspec.field(name="usageMetadata", default=msgspec.Raw())
    version: msgspec.Raw = msgspec.field(name="modelVersion", default=msgspec.Raw())
    embedding: msgspec.Raw = msgspec.Raw()
    embeddings: msgspec.Raw = msgspec.Raw()


class _Statistics(msgspec.Struct):
    count: msgspec.Raw = msgspec.field(name="tokenCount", default=msgspec.Raw())


class _Embedding(msgspec.Struct):
    statistics: _Statistics | None = None


_BODY: Final = msgspec.json.Decoder(_Body)
_EMBEDDINGS: Final = msgspec.json.Decoder(list[_Embedding])
_EMBEDDING: Final = msgspec.json.Decoder(_Embedding)


def read_body(data: bytes) -> Usage:
    """The counts of an answer with embeddings; an error answer bills nothing."""
    try:
        body = _BODY.decode(data)
    except fields.UNREADABLE:
        return replace_output(broken_body(data))
    error = fields.error_of(fields.decode(body.error) if body.error else None)
    usage, tokens = _counts(body)
    complete = tokens is not None or bool(error[0])
    seen = other_prices(usage.get("promptTokenDetails") or usage.get("promptTokensDetails"), _SEEN)
    aside = f"{seen} tokens that are no text are priced as text" if seen else ""
    return Usage(
        tokens=tokens or Tokens(),
        model=fields.text(fields.decode(body.model or body.version)),
        raw=fields.encode(usage),
        complete=complete,
        billing=Billing.PARTLY if aside else Billing.COUNTED,
        note=aside if complete else "the answer told no counts",
        error_class=error[0],
        error_message=error[1],
    )


def replace_output(usage: Usage) -> Usage:
    """The same without an output: vectors are no tokens, however many bytes of them came."""
    return msgspec.structs.replace(usage, tokens=replace(usage.tokens, output=0))


def _counts(body: _Body) -> tuple[dict[str, Any], Tokens | None]:
    usage = fields.mapping(fields.decode(body.usage) if body.usage else None)
    if fields.count(usage.get("prompt_tokens")) is not None:
        return usage, replace(chat_tokens(usage), output=0, reasoning=0)
    metadata = fields.mapping(fields.decode(body.metadata) if body.metadata else None)
    told = fields.count(metadata.get("promptTokenCount"))
    if told is not None:
        return metadata, Tokens(uncached_input=told)
    counted = _counted(body)
    return metadata or usage, None if counted is None else Tokens(uncached_input=counted)


def _counted(body: _Body) -> int | None:
    """The sum of what each vector says of itself, as Google's cloud does; None where one says nothing."""
    try:
        one, many = body.embedding, body.embeddings
        found = _EMBEDDINGS.decode(many) if many else [_EMBEDDING.decode(one)] if one else []
    except fields.UNREADABLE:
        return None
    counts = [_whole(each.statistics.count) if each.statistics else None for each in found]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _whole(raw: msgspec.Raw) -> int | None:
    """A count that may be written as a fraction (7.0)."""
    value = fields.decode(raw)
    return fields.count(int(value) if isinstance(value, float) and value.is_integer() else value)
