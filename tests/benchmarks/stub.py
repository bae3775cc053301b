"""The benchmarks' provider: `python -m tests.benchmarks.stub` answers as fast as it can, from prepared bytes."""

import asyncio
import re
import sys
from pathlib import Path

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.load import say

HEAD = b"HTTP/1.1 200 OK\r\nServer: stub\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
EMPTY = b"HTTP/1.1 404 Not Found\r\nServer: stub\r\nContent-Length: 0\r\n\r\n"
STREAM_HEAD = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMED = re.compile(rb'"stream":\s*true')
PAUSE_S = 0.002


class Answer(msgspec.Struct, frozen=True):
    """A plain answer and a streamed one's two parts, as they go over the wire, and what is in them."""

    plain: bytes
    begin: bytes
    rest: bytes
    body: bytes
    events: tuple[bytes, ...]


def answer(plain: bytes, events: list[bytes]) -> Answer:
    """An answer whose `plain` is filled up to 1 KiB where it has `%s`, and whose events are a chunk each."""
    plain = plain % (b"x" * (1026 - len(plain)))
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    return Answer(
        HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(plain), plain),
        STREAM_HEAD + chunks[0],
        b"".join(chunks[1:]) + b"0\r\n\r\n",
        plain,
        tuple(events),
    )


def messages() -> Answer:
    """As Anthropic answers."""
    usage = b'"usage":{"input_tokens":10,"output_tokens":5}'
    known = b'"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5"'
    delta = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}'
    return answer(
        b'{%b,"stop_reason":"end_turn","stop_sequence":null,"content":[{"type":"text","text":"%%s"}],%b}'
        % (known, usage),
        [
            b'event: message_start\ndata: {"type":"message_start","message":{%b,"content":[],%b}}\n\n' % (known, usage),
            *[b"event: content_block_delta\ndata: %b\n\n" % delta] * 20,
            b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},%b}\n\n' % usage,
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ],
    )


def chat() -> Answer:
    """As OpenAI answers."""
    usage = b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}'
    known = b'"id":"chatcmpl-1","object":"chat.completion%b","created":1764000000,"model":"gpt-5.1","choices":['
    plain, piece = known % b"", known % b".chunk"
    chunk = b'data: {%b{"index":0,"delta":{%%b},"finish_reason":%%b}]}\n\n' % piece
    return answer(
        b'{%b{"index":0,"message":{"role":"assistant","content":"%%s"},"finish_reason":"stop"}],%b}' % (plain, usage),
        [
            chunk % (b'"role":"assistant","content":""', b"null"),
            *[chunk % (b'"content":"hello"', b"null")] * 20,
            chunk % (b"", b'"stop"'),
            b"data: {%b],%b}\n\n" % (piece, usage),
            b"data: [DONE]\n\n",
        ],
    )


ANSWERS = {b"/v1/messages": messages(), b"/v1/chat/completions": chat()}


class Stub(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self.buffer = b""
        self._answer(ANSWERS.get(head.split(b" ", 2)[1].partition(b"?")[0]), rest)

    def _answer(self, answer: Answer | None, body: bytes) -> None:
        if answer is None:
            self.transport.write(EMPTY)
        elif STREAMED.search(body):
            self.transport.write(answer.begin)
            asyncio.get_running_loop().call_later(PAUSE_S, self.transport.write, answer.rest)
        else:
            self.transport.write(answer.plain)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    say(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
