"""Whatever else a provider answers: its counts, if it tells some in a way that is known here."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from data.model import Tokens
from proxy.sse import SseEvent
from proxy.usage import fields
from proxy.usage.gemini import tokens_of
from proxy.usage.openai import audio_note, chat_tokens, responses_tokens
from proxy.usage.stream import UNTOLD
from proxy.usage.usage import Billing, Usage

Counts = Mapping[str, Any]


class _Told(msgspec.Struct):
    """Where an answer, or an event of one, may tell its counts."""

    usage: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.field(name="usageMetadata", default=msgspec.Raw())
    model: msgspec.Raw = msgspec.Raw()
    version: msgspec.Raw = msgspec.field(name="modelVersion", default=msgspec.Raw())
    error: msgspec.Raw = msgspec.Raw()
    response: "_Told | None" = None
    message: "_Told | None" = None


_TOLD: Final = msgspec.json.Decoder(_Told)


class OtherStream:
    """Reads the events of a stream of an unknown kind: what was told last counts."""

    def __init__(self) -> None:
        self.output_started = False
        self._usage: dict[str, Any] = {}
        self._model = ""
        self._error = ("", "")

    def take(self, event: SseEvent) -> None:
        """Read one event."""
        self.output_started = True
        try:
            told = _TOLD.decode(event.data)
        except fields.UNREADABLE:
            return
        for each in (told.message, told.response, told):
            if each is not None:
                self._learn(each)

    def usage(self, *, damaged: bool) -> Usage:
        """Say what was read."""
        tokens = _tokens(self._usage)
        heard = audio_note(self._usage)
        note = heard if tokens is not None else UNTOLD
        return Usage(
            tokens=tokens or Tokens(),
            model=self._model,
            raw=fields.encode(self._usage),
            complete=not damaged,
            billing=_billing(tokens, heard),
            note="an event could not be read" if damaged else note,
            error_class=self._error[0],
            error_message=self._error[1],
        )

    def _learn(self, told: _Told) -> None:
        found = fields.mapping(fields.decode(told.usage or told.metadata) if told.usage or told.metadata else None)
        self._usage = fields.merged(self._usage, found) if found else self._usage
        if told.model or told.version:
            self._model = fields.text(fields.decode(told.model or told.version)) or self._model
        if told.error:
            self._error = fields.error_of(fields.decode(told.error))


def read_body(data: bytes) -> Usage:
    """The counts of a plain answer of an unknown kind; it may be no JSON at all."""
    stream = OtherStream()
    stream.take(SseEvent("", data))
    return stream.usage(damaged=False)


def _billing(tokens: Tokens | None, heard: str) -> Billing:
    if tokens is None:
        return Billing.UNKNOWN
    return Billing.PARTLY if heard else Billing.COUNTED


def _input_tokens(usage: Counts) -> Tokens:
    """Counts with `input_tokens`: Anthropic's, which are disjoint, if they tell of its cache; else OpenAI's."""
    read = fields.count(usage.get("cache_read_input_tokens"))
    written = fields.count(usage.get("cache_creation_input_tokens"))
    if read is None and written is None:
        return responses_tokens(usage)
    plain = responses_tokens({name: usage.get(name) for name in ("input_tokens", "output_tokens")})
    return replace(plain, cache_read=read or 0, cache_write_5m=written or 0)


_SHAPES: Final[Mapping[str, Callable[[Counts], Tokens]]] = {
    "prompt_tokens": chat_tokens,
    "input_tokens": _input_tokens,
    "promptTokenCount": tokens_of,
}


def _tokens(usage: Counts) -> Tokens | None:
    for name, read in _SHAPES.items():
        if fields.count(usage.get(name)) is not None:
            return read(usage)
    return None
