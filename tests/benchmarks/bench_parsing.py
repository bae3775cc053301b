"""What reading an answer and writing it down cost. Run it: `python tests/benchmarks/bench_parsing.py`.

Streams are fed in pieces of 16 KiB, as they come from a socket that is behind, or one event a piece, as they come from
one that is not; each figure is the best of several runs. The first three are recorded streams, their pieces of text
repeated, through the tee: in 16 KiB they should go at 200 MB/s or more (seen: 330 MB/s of Messages, 280 of chat
completions, 345 of Responses).

One event a piece they cannot: 2 to 4 µs a piece are some 20 calls of Python, and little beside reading the piece from
one socket and writing it to another (`bench_streams --streams 100 --every 0.02` says what the proxy takes in all).
Of the processor time that `bench_proxy`'s requests cost the proxy, a profile gave all parsing 3 % for plain answers
and 9 % for streamed ones.
"""

import json
import re
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parents[2]))

from data.model import Endpoint
from proxy.spool import Spool
from proxy.sse import SseParser
from proxy.tee import Tee
from proxy.usage import parser_for
from proxy.usage.include_usage import UsageChunkFilter, ask_for_usage
from tests.benchmarks.stub import ANSWERS
from tests.proxy.spool_samples import NOW, ended, estimated, started
from tests.proxy.sse_samples import events

PIECE = 16 * 1024
FIXTURES = Path(__file__).parents[1] / "proxy" / "fixtures"
RECORDED = {
    Endpoint.MESSAGES: "anthropic_tools.sse",
    Endpoint.CHAT_COMPLETIONS: "openai_chat_tools.sse",
    Endpoint.RESPONSES: "openai_responses_text.sse",
}
#: Events that carry a piece of text; signatures, names of tools and the like come once in an answer.
TEXT_EVENT = re.compile(rb'_delta","(?:text|thinking|partial_json)":|"function":\{"arguments":|_text\.delta\n')
STREAM_BYTES = 4_000_000
RUNS = 5
RECORDS = 20_000


def recorded(endpoint: Endpoint) -> bytes:
    """A recorded stream, made long by repeating its pieces of text."""
    found = [event + b"\n\n" for event in (FIXTURES / RECORDED[endpoint]).read_bytes().split(b"\n\n") if event]
    pieces = [event for event in found if TEXT_EVENT.search(event)]
    first = found.index(pieces[0])
    return b"".join(found[:first]) + repeated(b"".join(pieces)) + b"".join(found[first:])


def anthropic(size: int) -> bytes:
    """A Messages stream whose deltas carry so many characters each."""
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * size}}
    usage = {"input_tokens": 10, "output_tokens": 1}
    first = {"type": "message_start", "message": {"id": "m", "model": "claude", "usage": usage}}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 99}}
    return events(first) + repeated(events(delta)) + events(last, {"type": "message_stop"})


def chat(size: int) -> bytes:
    """A Chat Completions stream whose chunks carry so many characters each."""
    known = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "service_tier": "default"}
    choice = {"index": 0, "delta": {"content": "x" * size}, "logprobs": None, "finish_reason": None}
    last = {**known, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 99}}
    return repeated(events({**known, "choices": [choice], "usage": None})) + events(last, "data: [DONE]\n\n")


def responses(size: int) -> bytes:
    """A Responses stream whose deltas carry so many characters each."""
    delta = {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg",
        "output_index": 0,
        "content_index": 0,
        "delta": "x" * size,
        "logprobs": [],
    }
    usage = {"input_tokens": 9, "output_tokens": 99}
    return repeated(events(delta)) + events(
        {"type": "response.completed", "response": {"id": "r", "model": "gpt", "usage": usage}}
    )


def gemini(size: int) -> bytes:
    """A Gemini stream whose pieces carry so many characters each."""
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 99, "totalTokenCount": 108}
    content = {"role": "model", "parts": [{"text": "x" * size}]}
    piece = {"candidates": [{"content": content, "index": 0}], "usageMetadata": counts, "modelVersion": "gemini"}
    last = {"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": counts}
    return repeated(events(piece)) + events(last)


def repeated(event: bytes) -> bytes:
    return event * (STREAM_BYTES // len(event))


def in_pieces(stream: bytes) -> list[bytes]:
    return [stream[i : i + PIECE] for i in range(0, len(stream), PIECE)]


def in_events(stream: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in stream.split(b"\n\n") if event]


def fed(
    stream: bytes,
    make: Callable[[], Callable[[bytes], object]],
    cut: Callable[[bytes], list[bytes]] = in_pieces,
) -> float:
    """Megabytes a second."""
    pieces = cut(stream)
    best = min(timed(pieces, make()) for _ in range(RUNS))
    return len(stream) / best / 1e6


def timed(pieces: list[bytes], feed: Callable[[bytes], object]) -> float:
    # its own time alone: parsing waits for nothing
    begin = process_time()
    for piece in pieces:
        feed(piece)
    return process_time() - begin


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def tee_feed(endpoint: Endpoint) -> Callable[[bytes], object]:
    return Tee(parser_for(endpoint, stream=True), streams=True).feed


def recordings() -> None:
    for endpoint in RECORDED:
        stream = recorded(endpoint)
        feed = partial(tee_feed, endpoint)
        whole, single = fed(stream, feed), fed(stream, feed, in_events)
        each = len(stream) / stream.count(b"\n\n")
        say(
            f"{endpoint:<18}recorded, {each:4.0f} bytes an event: {whole:4.0f} MB/s, {each / whole:5.2f} µs an event; "
            f"one event a piece: {single:4.0f} MB/s, {each / single:5.2f} µs"
        )


def streams() -> None:
    shapes = (
        (Endpoint.MESSAGES, anthropic),
        (Endpoint.CHAT_COMPLETIONS, chat),
        (Endpoint.RESPONSES, responses),
        (Endpoint.GENERATE_CONTENT, gemini),
    )
    for endpoint, make in shapes:
        for size in (12, 400, 8000):
            stream = make(size)
            speed = fed(stream, lambda endpoint=endpoint: parser_for(endpoint, stream=True).feed)
            alone = fed(stream, lambda: SseParser().feed)
            each = len(stream) / stream.count(b"\n\n") / speed
            say(f"{endpoint:<18}{size:>6} characters: {speed:7.0f} MB/s, {each:5.2f} µs an event (split: {alone:.0f})")
    for size in (12, 400, 8000):
        say(f"usage chunk filter{size:>6} characters: {fed(chat(size), lambda: UsageChunkFilter().feed):7.0f} MB/s")


def answers() -> None:
    """What it costs to read the answers of `bench_proxy`, of whose processor time a request this is a part."""
    for endpoint, path in ((Endpoint.MESSAGES, b"/v1/messages"), (Endpoint.CHAT_COMPLETIONS, b"/v1/chat/completions")):
        body, events = ANSWERS[path].body, ANSWERS[path].events
        plain = each_of(partial(read, endpoint, [body], False))
        # as they come: the first one, and after a pause the rest
        streamed = each_of(partial(read, endpoint, [events[0], b"".join(events[1:])], True))
        say(f"{endpoint:<18}an answer of 1 KiB: {plain:5.1f} µs, streamed in {len(events)} events: {streamed:5.1f} µs")


def read(endpoint: Endpoint, pieces: list[bytes], stream: bool, _: object = None) -> None:  # noqa: FBT001
    tee = Tee(parser_for(endpoint, stream=stream), streams=stream)
    for piece in pieces:
        tee.feed(piece)
    assert tee.finish().complete


def each_of(call: Callable[[object], object]) -> float:
    """Microseconds a call."""
    return min(timed([b""] * 200, call) for _ in range(10 * RUNS)) / 200 * 1e6


def requests() -> None:
    for size in (1_000, 1_000_000):
        messages = [{"role": "user", "content": "x" * size}]
        body = json.dumps({"model": "gpt", "messages": messages, "stream": True}).encode()
        best = min(timed([body] * 20, ask_for_usage) for _ in range(RUNS)) / 20
        say(f"asking for counts in {size:>9} bytes: {best * 1e6:7.1f} µs")


def spool() -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Spool.open(Path(folder), now_us=NOW, estimate=estimated)
        starts = [started(session="s" * 36, user_agent="claude-cli/2.0 (external, cli)") for _ in range(RECORDS)]
        ends = [ended(start.id, session="s" * 36, model="m" * 20, usage="u" * 300) for start in starts]
        costs = [timed_call(log, pair) for pair in zip(starts, ends, strict=True)]
        log.close()
    costs.sort()
    median, late = statistics.median(costs) * 1e6, costs[len(costs) * 99 // 100] * 1e6
    say(f"spool, start and end of a request: median {median:.1f} µs, p99 {late:.1f} µs")


def timed_call(log: Spool, pair: tuple[object, object]) -> float:
    start, end = pair
    begin = perf_counter()
    log.start(start)
    log.end(end)
    return perf_counter() - begin


if __name__ == "__main__":
    recordings()
    answers()
    streams()
    requests()
    spool()
