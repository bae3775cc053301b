"""The few facts the proxy needs of a request's body; everything else in it is skipped, not parsed."""

from typing import Annotated, Final

import msgspec

_MAX_NAME = 200
_MAX_WORD = 100
_MAX_USER_ID = 1000
#: A fact longer than this in the body is none: names and numbers are short.
_MAX_FACT_BYTES: Final = 16 * 1024


class RequestFacts(msgspec.Struct, frozen=True):
    """What a body says about itself; '' and 0 where it says nothing, or nothing sensible."""

    model: str = ""
    stream: bool = False
    max_tokens: int = 0  # of one answer; the greatest that it says
    user_id: str = ""  # Anthropic `metadata.user_id`, OpenAI `safety_identifier` or `user`
    include_usage: bool = False  # OpenAI Chat `stream_options.include_usage`
    answers: int = 1  # OpenAI `n`, Gemini `candidateCount`
    service_tier: str = ""
    speed: str = ""  # Anthropic's
    inference_geo: str = ""  # Anthropic's
    readable: bool = True  # False: the body is no JSON object, or too large to be read
    decoded_bytes: int = 0  # of a body that came coded, where it could be decoded


_Text = Annotated[str, msgspec.Meta(max_length=4096)] | None
_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**18)] | None


class _Metadata(msgspec.Struct):
    user_id: _Text = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Generation(msgspec.Struct):
    max_output_tokens: _Count = msgspec.field(name="maxOutputTokens", default=None)
    max_output_tokens_snake: _Count = msgspec.field(name="max_output_tokens", default=None)
    candidate_count: _Count = msgspec.field(name="candidateCount", default=None)
    candidate_count_snake: _Count = msgspec.field(name="candidate_count", default=None)


class _Good(msgspec.Struct):
    """A body in which every value is of the right type, as nearly all are: read in one go."""

    model: _Text = None
    stream: bool | None = None
    max_tokens: _Count = None
    max_completion_tokens: _Count = None
    max_output_tokens: _Count = None
    metadata: _Metadata | None = None
    user: _Text = None
    safety_identifier: _Text = None
    stream_options: _StreamOptions | None = None
    n: _Count = None
    service_tier: _Text = None
    speed: _Text = None
    inference_geo: _Text = None
    # Gemini's, in both of the spellings that it takes
    generation_config: _Generation | None = msgspec.field(name="generationConfig", default=None)
    generation_config_snake: _Generation | None = msgspec.field(name="generation_config", default=None)
    service_tier_camel: _Text = msgspec.field(name="serviceTier", default=None)


class _Body(msgspec.Struct):
    """The same values as they stand there, so that one may be wrong; a million items cost nothing until asked for."""

    model: msgspec.Raw = msgspec.Raw()
    stream: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    max_completion_tokens: msgspec.Raw = msgspec.Raw()
    max_output_tokens: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    user: msgspec.Raw = msgspec.Raw()
    safety_identifier: msgspec.Raw = msgspec.Raw()
    stream_options: msgspec.Raw = msgspec.Raw()
    n: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    speed: msgspec.Raw = msgspec.Raw()
    inference_geo: msgspec.Raw = msgspec.Raw()
    # Gemini's, in both of the spellings that it takes
    generation_config: msgspec.Raw = msgspec.field(name="generationConfig", default=msgspec.Raw())
    generation_config_snake: msgspec.Raw = msgspec.field(name="generation_config", default=msgspec.Raw())
    service_tier_camel: msgspec.Raw = msgspec.field(name="serviceTier", default=msgspec.Raw())


class _Inner(msgspec.Struct):
    """What is read of `metadata`, of `stream_options` and of `generationConfig`."""

    user_id: msgspec.Raw = msgspec.Raw()
    include_usage: msgspec.Raw = msgspec.Raw()
    max_output_tokens: msgspec.Raw = msgspec.field(name="maxOutputTokens", default=msgspec.Raw())
    max_output_tokens_snake: msgspec.Raw = msgspec.field(name="max_output_tokens", default=msgspec.Raw())
    candidate_count: msgspec.Raw = msgspec.field(name="candidateCount", default=msgspec.Raw())
    candidate_count_snake: msgspec.Raw = msgspec.field(name="candidate_count", default=msgspec.Raw())


_good_decoder = msgspec.json.Decoder(_Good)
_decoder = msgspec.json.Decoder(_Body)
_inner_decoder = msgspec.json.Decoder(_Inner)
_text_decoder = msgspec.json.Decoder(str)
_number_decoder = msgspec.json.Decoder(int)
_UNREADABLE = RequestFacts(readable=False)
_NOTHING = _Inner()
_NOTHING_WANTED = _Generation()
_BAD = (msgspec.MsgspecError, UnicodeError, RecursionError)


def read_facts(body: bytes | bytearray) -> RequestFacts:
    """Return the facts of a JSON body. Bad JSON, a list or wrong types never raise."""
    try:
        return _good_facts(_good_decoder.decode(body))
    except _BAD:
        return _facts_one_by_one(body)


def _good_facts(read: _Good) -> RequestFacts:
    wanted = read.generation_config or read.generation_config_snake or _NOTHING_WANTED
    said = read.metadata.user_id if read.metadata is not None else None
    return RequestFacts(
        model=clean(read.model, _MAX_NAME),
        stream=read.stream is True,
        max_tokens=_most(
            read.max_tokens,
            read.max_completion_tokens,
            read.max_output_tokens,
            wanted.max_output_tokens,
            wanted.max_output_tokens_snake,
        ),
        user_id=clean(said or read.safety_identifier or read.user, _MAX_USER_ID),
        include_usage=read.stream_options is not None and read.stream_options.include_usage is True,
        answers=_most(read.n, wanted.candidate_count, wanted.candidate_count_snake) or 1,
        service_tier=clean(read.service_tier or read.service_tier_camel, _MAX_WORD),
        speed=clean(read.speed, _MAX_WORD),
        inference_geo=clean(read.inference_geo, _MAX_WORD),
    )


def _facts_one_by_one(body: bytes | bytearray) -> RequestFacts:
    try:
        read = _decoder.decode(body)
    except _BAD:
        return _UNREADABLE
    wanted = _wanted(read)
    return RequestFacts(
        model=clean(_text(read.model), _MAX_NAME),
        stream=_is_true(read.stream),
        max_tokens=_most_of(
            read.max_tokens,
            read.max_completion_tokens,
            read.max_output_tokens,
            wanted.max_output_tokens,
            wanted.max_output_tokens_snake,
        ),
        user_id=_user_id(read),
        include_usage=bool(read.stream_options) and _is_true(_inner(read.stream_options).include_usage),
        answers=_most_of(read.n, wanted.candidate_count, wanted.candidate_count_snake) or 1,
        service_tier=_word(read.service_tier) or _word(read.service_tier_camel),
        speed=_word(read.speed),
        inference_geo=_word(read.inference_geo),
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


def _is_true(raw: msgspec.Raw) -> bool:
    return memoryview(raw).nbytes == 4 and bytes(raw) == b"true"


def _text(raw: msgspec.Raw) -> str:
    value = bytes(raw) if 0 < memoryview(raw).nbytes <= _MAX_FACT_BYTES else b""
    try:
        return _text_decoder.decode(value) if value.startswith(b'"') else ""
    except _BAD:
        return ""


def _number(raw: msgspec.Raw) -> int:
    value = bytes(raw) if 0 < memoryview(raw).nbytes <= 20 else b""
    return _number_decoder.decode(value) if value.isdigit() else 0


def _most(*said: int | None) -> int:
    """The greatest: which one counts where a body has several is each provider's own choice."""
    most = 0
    for number in said:
        if number and number > most:
            most = number
    return most


def _most_of(*said: msgspec.Raw) -> int:
    return max(_number(raw) if raw else 0 for raw in said)


def _wanted(read: _Body) -> _Inner:
    """What a Gemini request wants its answer to be like."""
    for found in (read.generation_config, read.generation_config_snake):
        if found and bytes(memoryview(found)[:4]) != b"null":
            return _inner(found)
    return _NOTHING


def _word(raw: msgspec.Raw) -> str:
    return clean(_text(raw), _MAX_WORD) if raw else ""


def _inner(raw: msgspec.Raw) -> _Inner:
    if not 0 < memoryview(raw).nbytes <= _MAX_FACT_BYTES:
        return _NOTHING
    try:
        return _inner_decoder.decode(raw)
    except _BAD:
        return _NOTHING


def _user_id(read: _Body) -> str:
    inner = _inner(read.metadata).user_id if read.metadata else read.metadata
    for raw in (inner, read.safety_identifier, read.user):
        if raw and (text := clean(_text(raw), _MAX_USER_ID)):
            return text
    return ""
