"""The few facts the proxy needs of a request's body; everything else in it is skipped, not parsed."""

import msgspec

_MAX_NAME = 200


class RequestFacts(msgspec.Struct, frozen=True):
    """What a body says about itself; '' and 0 where it says nothing, or nothing sensible."""

    model: str = ""
    stream: bool = False
    max_tokens: int = 0
    user_id: str = ""  # Anthropic `metadata.user_id`, OpenAI `safety_identifier` or `user`
    include_usage: bool = False  # OpenAI Chat `stream_options.include_usage`
    readable: bool = True  # False: the body is no JSON object


class _Body(msgspec.Struct):
    model: object = None
    stream: object = None
    max_tokens: object = None
    max_completion_tokens: object = None
    max_output_tokens: object = None
    metadata: object = None
    user: object = None
    safety_identifier: object = None
    stream_options: object = None


_decoder = msgspec.json.Decoder(_Body)
_UNREADABLE = RequestFacts(readable=False)


def read_facts(body: bytes | bytearray) -> RequestFacts:
    """Return the facts of a JSON body. Bad JSON, a list or wrong types never raise."""
    try:
        read = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _UNREADABLE
    limits = (read.max_tokens, read.max_completion_tokens, read.max_output_tokens)
    return RequestFacts(
        model=clean(read.model, _MAX_NAME),
        stream=read.stream is True,
        max_tokens=next((limit for limit in limits if type(limit) is int and limit > 0), 0),
        user_id=_user_id(read),
        include_usage=isinstance(read.stream_options, dict) and read.stream_options.get("include_usage") is True,
    )


def clean(value: object, limit: int) -> str:
    """Return `value` as storable text: valid UTF-8, printable, at most `limit` characters; '' for what is no text."""
    if not value or not isinstance(value, str):
        return ""
    text = value[:limit]
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else " " for character in text)


def _user_id(read: _Body) -> str:
    metadata = read.metadata if isinstance(read.metadata, dict) else {}
    candidates = (metadata.get("user_id"), read.safety_identifier, read.user)
    return next((text for text in (clean(candidate, 1000) for candidate in candidates) if text), "")
