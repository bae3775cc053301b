"""Anthropic Messages: counts of a stream and of a plain answer.

Counts are disjoint already. In a stream they are cumulative: per field the last non-null value wins,
nothing is summed; the split of cache writes by lifetime is given by `message_start` alone.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from data.model import Tokens
from proxy.sse import SseEvent
from proxy.usage import fields
from proxy.usage.errors import broken_body
from proxy.usage.estimate import OutputSeen
from proxy.usage.iterations import shares
from proxy.usage.skim import TEXT, event_of, skimmed
from proxy.usage.usage import Billing, Usage

_DELTA: Final = "content_block_delta"
#: As they are written; spaces at their end hide how long they are.
_DELTAS: Final = event_of(
    rb'event: content_block_delta\ndata: \{"type":"content_block_delta","index":[1-9]?[0-9],"delta":\{"type":"'
    rb'(?:text_delta","text|thinking_delta","thinking|input_json_delta","partial_json)":"' + TEXT + rb'"\} *+\}'
)
#: An empty list is not longer, however it is written.
_EMPTY_BYTES: Final = 16
_REFUSED: Final = "refused before any output, which is not billed"


class _Delta(msgspec.Struct, frozen=True, gc=False):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _DeltaEvent(msgspec.Struct, frozen=True, gc=False):
    delta: _Delta


class _Body(msgspec.Struct):
    """The fields that are read."""

    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _RawBody(msgspec.Struct):
    """The same fields as they stand there, so that one of them may be wrong; all else of an answer is skipped."""

    id: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    stop_reason: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


_DELTA_DECODER: Final = msgspec.json.Decoder(_DeltaEvent)
_BODY_DECODER: Final = msgspec.json.Decoder(_Body)
_RAW_BODY_DECODER: Final = msgspec.json.Decoder(_RawBody)


class AnthropicStream:
    """Reads the events of a Messages stream."""

    def __init__(self) -> None:
        self.output_started = False
        self._seen = OutputSeen()
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason = ""
        self._counted = False  # a message_delta told the output
        self._stopped = False
        self._garbled = False  # since the last count, an event could not be read
        self._error = ("", "")

    def skim(self, events: bytes) -> bytes:
        """Read the deltas among whole events; give the others. In which order they are read does not matter."""
        others = skimmed(events, _DELTAS, self._seen)
        self.output_started = self.output_started or len(others) < len(events)
        return others

    def take(self, event: SseEvent) -> None:
        """Read one event; unknown ones tell nothing."""
        if event.event == _DELTA:
            self._content(event.data)
            return
        value = fields.mapping(fields.decode(event.data))
        self._garbled = self._garbled or not value
        match value and (value.get("type") or event.event):
            case "message_start":
                self._start(value)
            case "content_block_delta":
                self._content(event.data)
            case "message_delta":
                self._delta(value)
            case "message_stop":
                self._stopped = True
            case "error":
                name, message = fields.error_of(value.get("error"))
                self._error = name or "error", message

    def usage(self, *, damaged: bool) -> Usage:
        """Say what was read."""
        final = self._counted and (self._stopped or bool(self._stop_reason))
        complete = final and not (damaged or self._garbled or self._error[0])
        known = fields.count(self._usage.get("output_tokens")) or 0
        output = known if complete else self._seen.tokens(at_least=known)
        return _usage(
            self._message,
            self._usage,
            output=output,
            stop_reason=self._stop_reason,
            complete=complete,
            note="" if complete else self._note(),
            error=self._error,
            said_nothing=not self.output_started,
        )

    def _note(self) -> str:
        source = "message_start and " if self._usage else ""
        return f"estimated from {source}{self._seen.characters} characters of output"

    def _start(self, value: Mapping[str, Any]) -> None:
        self._message = fields.mapping(value.get("message"))
        self._usage = fields.merged(self._usage, _valid(self._message.get("usage")))

    def _content(self, data: bytes) -> None:
        self.output_started = True
        try:
            delta = _DELTA_DECODER.decode(data).delta
        except fields.UNREADABLE:
            return  # content counts only where the provider's own count is missing
        self._seen.add(delta.text or delta.thinking or delta.partial_json)

    def _delta(self, value: Mapping[str, Any]) -> None:
        reported = _valid(value.get("usage"))
        self._usage = fields.merged(self._usage, reported)
        self._stop_reason = fields.text(fields.mapping(value.get("delta")).get("stop_reason")) or self._stop_reason
        if reported.get("output_tokens") is not None:
            self._counted, self._garbled = True, False


def read_body(data: bytes) -> Usage:
    """The counts of a plain answer; an error answer bills nothing."""
    try:
        body = _body(data)
    except fields.UNREADABLE:
        return broken_body(data)
    usage = _valid(body.usage)
    error = fields.error_of(body.error)
    output = usage.get("output_tokens")
    complete = output is not None or bool(error[0])
    return _usage(
        {"id": body.id, "model": body.model},
        usage,
        output=output or 0,
        stop_reason=fields.text(body.stop_reason),
        complete=complete,
        note="" if complete else "the answer told no counts",
        error=error,
        said_nothing=_is_empty(body.content),
    )


def _body(data: bytes) -> _Body:
    if (body := fields.decode_whole(data, _BODY_DECODER)) is not None:
        return body
    raw = _RAW_BODY_DECODER.decode(data)
    return _Body(
        id=fields.decode(raw.id),
        model=fields.decode(raw.model),
        stop_reason=fields.decode(raw.stop_reason),
        usage=fields.decode(raw.usage),
        error=fields.decode(raw.error),
        content=raw.content,
    )


def _is_empty(content: msgspec.Raw) -> bool:
    return len(content) <= _EMPTY_BYTES and bytes(content).translate(None, b" \t\r\n") == b"[]"


def _usage(
    message: Mapping[str, Any],
    usage: Mapping[str, Any],
    *,
    output: int,
    stop_reason: str,
    complete: bool,
    note: str,
    error: tuple[str, str],
    said_nothing: bool,
) -> Usage:
    model, tokens, others = shares(usage, fields.text(message.get("model")), _tokens(usage, output), _counted)
    refused = complete and said_nothing and stop_reason == "refusal"
    return Usage(
        tokens=tokens,
        model=model,
        stop_reason=stop_reason,
        service_tier=fields.text(usage.get("service_tier")),
        inference_geo=fields.text(usage.get("inference_geo")),
        speed=fields.text(usage.get("speed")),
        response_id=fields.text(message.get("id")),
        raw=fields.encode(usage),
        complete=complete,
        billing=Billing.FREE if refused else Billing.COUNTED,
        note=_REFUSED if refused else note,
        error_class=error[0],
        error_message=error[1],
        others=others,
    )


def _counted(entry: Mapping[str, Any]) -> Tokens:
    """The counts of one entry of `iterations`."""
    valid = _valid(entry)
    return _tokens(valid, valid.get("output_tokens") or 0)


def _tokens(usage: Mapping[str, Any], output: int) -> Tokens:
    """The counts of a valid usage object."""
    split = fields.mapping(usage.get("cache_creation"))
    minutes, hour = cache_writes(
        usage.get("cache_creation_input_tokens"),
        split.get("ephemeral_5m_input_tokens"),
        split.get("ephemeral_1h_input_tokens"),
    )
    tools = fields.mapping(usage.get("server_tool_use"))
    details = fields.mapping(usage.get("output_tokens_details"))
    return Tokens(
        uncached_input=usage.get("input_tokens", 0),
        cache_read=usage.get("cache_read_input_tokens", 0),
        cache_write_5m=minutes,
        cache_write_1h=hour,
        output=output,
        reasoning=min(details.get("thinking_tokens", 0), output),
        # fetches are free: only searches are billed by the piece
        tool_units=tools.get("web_search_requests", 0),
    )


def cache_writes(total: int | None, minutes: int | None, hour: int | None) -> tuple[int, int]:
    """Cache writes as (five minutes, one hour): the split, stretched to the total that came after it.

    What the split leaves open goes to the only lifetime in use, else to five minutes, the default.
    """
    five, sixty = minutes or 0, hour or 0
    if total is None:
        return five, sixty
    if total >= five + sixty:
        return (0, total) if sixty and not five else (total - sixty, sixty)
    sixty = min(sixty, total)
    return total - sixty, sixty


def _valid(value: object) -> dict[str, Any]:
    """The usage object without nulls and without counts that cannot be counts: those say nothing."""
    found = fields.mapping(value).items()
    return {name: cleaned for name, v in found if (cleaned := _cleaned(name, v)) is not None}


def _cleaned(name: str, value: object) -> object:
    if name.endswith(("_tokens", "_requests")):
        return fields.count(value)
    return (_valid(value) or None) if isinstance(value, dict) else value
