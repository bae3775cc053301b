"""OpenAI Responses: counts of a stream and of a plain answer.

The last event (`response.completed`, `.incomplete` or `.failed`) carries the whole response with its usage.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.sse import SseEvent
from proxy.usage import fields
from proxy.usage.errors import broken_body
from proxy.usage.estimate import OutputSeen
from proxy.usage.openai import audio_note, responses_tokens
from proxy.usage.openai_tools import searched, tools_of
from proxy.usage.skim import TEXT, WORD, event_of, skimmed
from proxy.usage.usage import Billing, Usage

#: Deltas that are no tokens of text: sound, and what a tool gave back.
_NOT_TEXT: Final = frozenset({"response.audio.delta", "response.shell_call_output_content.delta"})
#: Pieces of text, as they are written.
_DELTAS: Final = event_of(
    rb'event: response\.%(name)b\.delta\ndata: \{"type":"response\.%(name)b\.delta","sequence_number":%(number)b,'
    rb'"item_id":"%(word)b","output_index":%(number)b(?:,"(?:content|summary)_index":%(number)b)?+,"delta":"%(text)b"'
    rb'(?:,"logprobs":\[\])?+(?:,"obfuscation":"%(word)b")?+\}'
    % {
        b"name": rb"(?:output_text|function_call_arguments|reasoning_summary_text|reasoning_text|refusal)",
        b"number": rb"(?:0|[1-9][0-9]{0,8}+)",
        b"word": WORD,
        b"text": TEXT,
    }
)
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Delta(msgspec.Struct, frozen=True, gc=False):
    delta: str = ""


class _Response(msgspec.Struct):
    """The fields that are read; of the output only the provider's own tools count."""

    id: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()
    incomplete_details: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


_DELTA_DECODER: Final = msgspec.json.Decoder(_Delta)
_EVENT_DECODER: Final = msgspec.json.Decoder(_Event)
_BODY_DECODER: Final = msgspec.json.Decoder(_Response)


class ResponsesStream:
    """Reads the events of a Responses stream."""

    def __init__(self) -> None:
        self.output_started = False
        self._seen = OutputSeen()
        self._last = Usage()
        self._ended = False
        self._error = ("", "")
        self._searches = 0  # as far as the stream went

    def skim(self, events: bytes) -> bytes:
        """Read the deltas among whole events; give the others. In which order they are read does not matter."""
        others = skimmed(events, _DELTAS, self._seen)
        self.output_started = self.output_started or len(others) < len(events)
        return others

    def take(self, event: SseEvent) -> None:
        """Read one event; unknown ones tell nothing."""
        if event.event.endswith(".delta"):
            self._output(event)
            return
        if event.data == b"[DONE]":
            return
        try:
            value = _EVENT_DECODER.decode(event.data)
        except fields.UNREADABLE:
            return
        kind = fields.text(fields.decode(value.type)) or event.event
        if kind.endswith(".delta"):
            self._output(SseEvent(kind, event.data))
        elif kind == "error":
            self._failure(value)
        elif kind == "response.output_item.done":
            self._searches += searched(event.data)
        elif value.response is not None and kind.startswith("response."):
            self._response(value.response, ended=kind in _LAST)

    def usage(self, *, damaged: bool) -> Usage:
        """Say what was read."""
        last = self._last
        error = self._error if self._error[0] else (last.error_class, last.error_message)
        if self._ended and last.complete and not damaged and not self._error[0]:
            return last
        tokens = replace(last.tokens, output=self._seen.tokens(at_least=last.tokens.output))
        tokens = replace(tokens, tool_units=max(tokens.tool_units, self._searches))
        note = f"estimated from {self._seen.characters} characters of output"
        return msgspec.structs.replace(
            last, tokens=tokens, complete=False, note=note, error_class=error[0], error_message=error[1]
        )

    def _output(self, event: SseEvent) -> None:
        if event.event in _NOT_TEXT:
            return
        try:
            delta = _DELTA_DECODER.decode(event.data).delta
        except fields.UNREADABLE:
            return
        self.output_started = True
        self._seen.add(delta)

    def _response(self, response: _Response, *, ended: bool) -> None:
        if not self._ended:
            self._last = _read(response)
            self._ended = ended

    def _failure(self, value: _Event) -> None:
        nested = fields.decode(value.error)
        flat = {"code": fields.decode(value.code), "message": fields.decode(value.message)}
        self._error = fields.error_of(nested or flat)


def read_body(data: bytes) -> Usage:
    """The counts of a plain answer; an error answer bills nothing."""
    try:
        body = _BODY_DECODER.decode(data)
    except fields.UNREADABLE:
        return broken_body(data)
    result = _read(body)
    if result.error_class and not result.complete and not result.response_id:
        return msgspec.structs.replace(result, complete=True, note="")
    return result


def _read(response: _Response) -> Usage:
    usage = fields.mapping(fields.decode(response.usage))
    error = fields.error_of(fields.decode(response.error))
    complete = fields.count(usage.get("output_tokens")) is not None
    tools = tools_of(response.output)
    aside = "; ".join(filter(None, (audio_note(usage), tools.note)))
    return Usage(
        tokens=replace(responses_tokens(usage), tool_units=tools.searches),
        model=fields.text(fields.decode(response.model)),
        stop_reason=_stop_reason(response),
        service_tier=fields.text(fields.decode(response.service_tier)),
        response_id=fields.text(fields.decode(response.id)),
        raw=fields.encode(usage),
        complete=complete,
        billing=Billing.PARTLY if aside else Billing.COUNTED,
        note=aside if complete else "the answer told no counts",
        error_class=error[0],
        error_message=error[1],
    )


def _stop_reason(response: _Response) -> str:
    """Why an incomplete response ended, else its status."""
    details: Mapping[str, Any] = fields.mapping(fields.decode(response.incomplete_details))
    return fields.text(details.get("reason")) or fields.text(fields.decode(response.status))
