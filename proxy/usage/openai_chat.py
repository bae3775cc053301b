"""OpenAI Chat Completions: counts of a stream and of a plain answer.

A stream tells its counts in a last chunk whose `choices` are empty, if the caller asked for it.
Providers that tell running counts in every chunk are read as well: the last ones win.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.sse import SseEvent
from proxy.usage import fields
from proxy.usage.errors import broken_body
from proxy.usage.estimate import OutputSeen
from proxy.usage.include_usage import UsageChunkFilter, ask_for_usage
from proxy.usage.openai import audio_note, chat_tokens
from proxy.usage.skim import TEXT, WORD, event_of, skimmed
from proxy.usage.usage import Billing, Usage

__all__ = ["ChatStream", "UsageChunkFilter", "ask_for_usage", "read_body"]

_TEXT: Final = frozenset({"content", "refusal", "reasoning_content", "reasoning"})
#: Chunks that tell nothing but a piece of text, as they are written.
_DELTAS: Final = event_of(
    rb'data: \{(?:"(?:id|object|created|model|provider|service_tier|system_fingerprint)":'
    rb'(?:"%(word)b"|[1-9][0-9]{0,15}+|null),)*+"choices":\[\{"index":0,"delta":\{(?:'
    rb'(?:"role":"assistant",)?+"(?:content|refusal|reasoning_content|reasoning)":"%(text)b"'
    rb'|"tool_calls":\[\{"index":[1-9]?[0-9],"function":\{"arguments":"%(text)b"\}\}\])\}'
    rb'(?:,"logprobs":null)?+,"finish_reason":null\}\](?:,"usage":null)?+(?:,"obfuscation":"%(word)b")?+\}'
    % {b"word": WORD, b"text": TEXT}
)


class _Finish(msgspec.Struct):
    finish_reason: Any = None


class _Body(msgspec.Struct):
    """The fields that are read; everything else of an answer is skipped unread."""

    id: Any = None
    model: Any = None
    service_tier: Any = None
    choices: list[_Finish] | None = None
    usage: Any = None
    error: Any = None


class _RawFinish(msgspec.Struct):
    finish_reason: msgspec.Raw = msgspec.Raw()


class _RawBody(msgspec.Struct):
    """The same fields as they stand there, so that one of them may be wrong."""

    id: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    choices: list[_RawFinish] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_BODY_DECODER: Final = msgspec.json.Decoder(_Body)
_RAW_BODY_DECODER: Final = msgspec.json.Decoder(_RawBody)


class ChatStream:
    """Reads the chunks of a Chat Completions stream."""

    def __init__(self) -> None:
        self.output_started = False
        self._seen = OutputSeen()
        self._facts: dict[str, str] = {}
        self._usage: Mapping[str, Any] = {}
        self._stop_reason = ""
        self._ended = False
        self._garbled = False
        self._error = ("", "")

    def skim(self, events: bytes) -> bytes:
        """Read the chunks of mere text among whole events, once one has told of the answer; give the others."""
        if not self._facts:
            return events
        others = skimmed(events, _DELTAS, self._seen)
        self.output_started = self._seen.characters > 0
        return others

    def take(self, event: SseEvent) -> None:
        """Read one chunk."""
        if event.data == b"[DONE]" or not event.data:
            self._ended = self._ended or bool(event.data)
            return
        chunk = fields.mapping(fields.decode(event.data))
        if not chunk:
            self._garbled = True
            return
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            self._choice(fields.mapping(choice))
        usage = fields.mapping(chunk.get("usage")) or _groqs(chunk)
        if usage:
            self._usage, self._garbled = usage, False
            self._ended = self._ended or choices == []
        if usage or not self._facts:
            self._learn(chunk)
        if chunk.get("error"):
            self._error = fields.error_of(chunk["error"])

    def usage(self, *, damaged: bool) -> Usage:
        """Say what was read."""
        counted = fields.count(self._usage.get("completion_tokens")) is not None
        ended = self._ended or bool(self._stop_reason)
        complete = counted and ended and not (damaged or self._garbled or self._error[0])
        tokens, heard = chat_tokens(self._usage), audio_note(self._usage)
        if not complete:
            tokens = replace(tokens, output=self._seen.tokens(at_least=tokens.output))
        return Usage(
            tokens=tokens,
            stop_reason=self._stop_reason,
            raw=fields.encode(self._usage),
            complete=complete,
            billing=Billing.PARTLY if heard else Billing.COUNTED,
            note=heard if complete else f"estimated from {self._seen.characters} characters of output",
            error_class=self._error[0],
            error_message=self._error[1],
            model=self._facts.get("model", ""),
            service_tier=self._facts.get("service_tier", ""),
            response_id=self._facts.get("response_id", ""),
        )

    def _learn(self, chunk: Mapping[str, Any]) -> None:
        """Every chunk says the same of itself but for the tier, which the last one knows best."""
        for name, key in (("response_id", "id"), ("model", "model"), ("service_tier", "service_tier")):
            if value := fields.text(chunk.get(key)):
                self._facts[name] = value

    def _choice(self, choice: Mapping[str, Any]) -> None:
        self._stop_reason = fields.text(choice.get("finish_reason")) or self._stop_reason
        for name, value in fields.mapping(choice.get("delta")).items():
            if name in _TEXT:
                self._output(value)
            elif name == "tool_calls" and isinstance(value, list):
                self._calls(value)

    def _calls(self, calls: list[Any]) -> None:
        for call in calls:
            function = fields.mapping(fields.mapping(call).get("function"))
            self._output(function.get("name"))
            self._output(function.get("arguments"))

    def _output(self, text: object) -> None:
        if isinstance(text, str) and text:
            self.output_started = True
            self._seen.add(text)


def _groqs(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """Groq puts the counts of a stream into an object of its own."""
    return fields.mapping(fields.mapping(chunk["x_groq"]).get("usage")) if "x_groq" in chunk else {}


def read_body(data: bytes) -> Usage:
    """The counts of a plain answer; an error answer bills nothing."""
    try:
        body = _body(data)
    except fields.UNREADABLE:
        return broken_body(data)
    usage = fields.mapping(body.usage)
    error = fields.error_of(body.error)
    complete = fields.count(usage.get("completion_tokens")) is not None or bool(error[0])
    heard = audio_note(usage)
    return Usage(
        tokens=chat_tokens(usage),
        model=fields.text(body.model),
        stop_reason=fields.text(body.choices[0].finish_reason) if body.choices else "",
        service_tier=fields.text(body.service_tier),
        response_id=fields.text(body.id),
        raw=fields.encode(usage),
        complete=complete,
        billing=Billing.PARTLY if heard else Billing.COUNTED,
        note=heard if complete else "the answer told no counts",
        error_class=error[0],
        error_message=error[1],
    )


def _body(data: bytes) -> _Body:
    if (body := fields.decode_whole(data, _BODY_DECODER)) is not None:
        return body
    raw = _RAW_BODY_DECODER.decode(data)
    return _Body(
        id=fields.decode(raw.id),
        model=fields.decode(raw.model),
        service_tier=fields.decode(raw.service_tier),
        choices=[_Finish(fields.decode(each.finish_reason)) for each in (raw.choices or ())[:1]],
        usage=fields.decode(raw.usage),
        error=fields.decode(raw.error),
    )
