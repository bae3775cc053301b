"""A stream of OpenAI Chat as one of Anthropic Messages. Pure.

Anthropic's order: message_start, the blocks, message_delta with the stop reason and all counts, message_stop.
The end is written when the provider's is certain: at `[DONE]`, or where the stream ends after a finish_reason.
"""

from typing import Any

from proxy.translate.chat_chunk import Choice, Chunk, Delta, read_chunk
from proxy.translate.failures import (
    UNFINISHED,
    UNREADABLE,
    Failure,
    anthropic_error,
    failure_of,
    status_of,
)
from proxy.translate.from_chat import Ending, anthropic_usage, head
from proxy.translate.message_blocks import MessageBlocks
from proxy.translate.sse_translation import SseTranslation
from proxy.translate.sse_writing import anthropic_event
from proxy.translate.translation import Context


class ChatToMessages(SseTranslation):
    """Translates one stream."""

    def __init__(self, context: Context, stop_sequences: tuple[str, ...], *, shows_thinking: bool) -> None:
        super().__init__()
        self._context = context
        self._stop_sequences = stop_sequences
        self._shows_thinking = shows_thinking
        self._blocks = MessageBlocks(context.id)
        self._ending = Ending()
        self._usage: dict[str, Any] = {}
        self._size = 0  # characters of the answer
        self._started = False
        self._done = False

    def _take(self, data: bytes, out: list[bytes]) -> None:
        if self._done or not data:
            return
        if data == b"[DONE]":
            self._end(out)
            return
        chunk = read_chunk(data)
        if isinstance(chunk, Chunk):
            self._read(chunk, out)
        elif chunk is None:
            self._fail(Failure(UNREADABLE), out)
        elif (failure := failure_of(chunk)) is not None:
            self._fail(failure, out)

    def _read(self, chunk: Chunk, out: list[bytes]) -> None:
        self._usage = chunk.counts or self._usage
        if not self._started:
            self._start(chunk, out)
        for choice in chunk.choices:
            if choice.index == 0:
                self._choice(choice, out)

    def _start(self, chunk: Chunk, out: list[bytes]) -> None:
        self._started = True
        message = head(self._context, chunk.model) | {"content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = anthropic_usage(self._usage, self._context, 0)
        out.append(anthropic_event({"type": "message_start", "message": message}))

    def _choice(self, choice: Choice, out: list[bytes]) -> None:
        if choice.delta is not None:
            self._delta(choice.delta, out)
        if choice.finish_reason:
            told = {"finish_reason": choice.finish_reason, "stop_reason": choice.stop_reason}
            self._ending.learn(told, self._stop_sequences)

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self._size += len(thought)
            if self._shows_thinking:
                self._blocks.say("thinking", thought, out)
        for said in (delta.content, delta.refusal):
            if said:
                self._size += len(said)
                self._blocks.say("text", said, out)
        for call in delta.tool_calls or ():
            self._size += len(call.function.arguments or "")
            self._blocks.call(call, out)
        self._ending.refused = self._ending.refused or bool(delta.refusal)

    def _has_reason(self) -> bool:
        return self._started and bool(self._ending.reason)

    def _end(self, out: list[bytes]) -> None:
        if self._done:
            return
        if not self._started or self._ending.reason == "error":
            self._fail(Failure(UNFINISHED), out)
            return
        if self._blocks.lost or self._parser.dropped:
            self._fail(Failure(UNREADABLE), out)
            return
        self._done = True
        self._blocks.end(out)
        self._ending.called = self._blocks.called
        usage = anthropic_usage(self._usage, self._context, self._size)
        out.append(anthropic_event({"type": "message_delta", "delta": self._ending.delta(), "usage": usage}))
        out.append(anthropic_event({"type": "message_stop"}))

    def _fail(self, failure: Failure, out: list[bytes]) -> None:
        if self._done:
            return
        self._done = True
        out.append(anthropic_event(anthropic_error(failure, status_of(failure))))
