"""What survives the way there and back: conversations, answers and streams."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Untranslatable
from proxy.translate import TRANSLATIONS, Translation
from proxy.translate.from_chat_stream import ChatToMessages
from proxy.translate.from_messages_stream import MessagesToChat
from tests.proxy.translate.translating import (
    call_piece,
    chat_call,
    chat_stream,
    chunk,
    context,
    deltas,
    events_of,
    message_end,
    messages_call,
    sent,
    through,
    usage_chunk,
)

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: not text.isspace())
INPUTS = st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.integers(-9, 9) | st.text(), max_size=3)
IMAGES = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.org/i.png"}},
    ]
)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns of both sides, in which all calls are answered."""
    messages: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    count = 0
    for _ in range(draw(st.integers(1, 4))):
        said = [*draw(st.lists(IMAGES, max_size=2)), text(draw(TEXTS))]
        messages.append({"role": "user", "content": results + said})
        inputs = draw(st.lists(INPUTS, max_size=3))
        calls = [
            {"type": "tool_use", "id": f"t{count + i}", "name": "f", "input": each} for i, each in enumerate(inputs)
        ]
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": draw(TEXTS)} for call in calls]
        count += len(calls)
        messages.append({"role": "assistant", "content": [text(draw(TEXTS)), *calls]})
    messages.append({"role": "user", "content": [*results, text(draw(TEXTS))]})
    return messages


def back(call: Translation) -> list[dict[str, Any]]:
    """The conversation of a translated request, translated back."""
    return sent(chat_call(messages=sent(call)["messages"]))["messages"]


@given(conversations())
def test_a_conversation_survives_the_way_to_openai_and_back(messages: list[dict[str, Any]]):
    assert back(messages_call(messages=messages)) == messages


@given(st.text(), TEXTS, st.lists(INPUTS, max_size=3), st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_answer_survives_the_way_to_openai_and_back(
    thought: str, said: str, inputs: list[Any], read: int, written: int
):
    content: list[dict[str, Any]] = [{"type": "thinking", "thinking": thought, "signature": ""}] if thought else []
    content += [text(said)]
    content += [{"type": "tool_use", "id": f"t{i}", "name": "f", "input": each} for i, each in enumerate(inputs)]
    message = {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": content,
        "stop_reason": "tool_use" if inputs else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": read,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 5,
            "output_tokens": written,
        },
    }
    chat = chat_call().whole(json.dumps(message).encode())
    assert json.loads(messages_call(thinking={"type": "adaptive"}).whole(chat)) == message


PIECES = st.lists(
    st.one_of(
        TEXTS.map(lambda said: chunk({"content": said})),
        TEXTS.map(lambda said: chunk({"reasoning_content": said})),
    ),
    max_size=6,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Parallel calls: their inputs, and the chunks of their pieces in any order that a provider may send."""
    inputs = draw(st.lists(INPUTS, max_size=3))
    queues = []
    for i, given_input in enumerate(inputs):
        arguments = json.dumps(given_input, ensure_ascii=False)
        cut = draw(st.integers(0, len(arguments)))
        queues.append(
            [
                chunk(call_piece(i, "", id=f"t{i}", name="f")),
                *(chunk(call_piece(i, each)) for each in (arguments[:cut], arguments[cut:]) if each),
            ]
        )
    chunks = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        chunks.append(queue.pop(0))
    return inputs, chunks


def accumulated(events: list[Any]) -> list[dict[str, Any]]:
    """The content that a client puts together."""
    content: list[dict[str, Any]] = []
    for event in events:
        match event:
            case {"type": "content_block_start", "content_block": begun}:
                content.append(begun | {"json": ""})
            case {"type": "content_block_delta", "index": index, "delta": {"type": kind} as delta}:
                name = kind.removesuffix("_delta")
                place, told = ("json", "partial_json") if name == "input_json" else (name, name)
                content[index][place] += delta[told]
    return content


@given(PIECES, calls(), st.data())
def test_whatever_order_the_pieces_of_a_stream_come_in_the_whole_is_the_same(
    said: list[Any], made: tuple[list[Any], list[Any]], data: st.DataObject
):
    inputs, pieces = made
    stream = chat_stream(*said, *pieces, chunk({}, "tool_calls" if inputs else "stop"), usage_chunk())
    cut = data.draw(st.integers(0, len(stream)))
    streamed = messages_call(stream=True, thinking={"type": "adaptive"}).streamed()
    events = events_of(through(streamed, stream[:cut], stream[cut:]))
    content = accumulated(events)
    for name in ("content", "reasoning_content"):
        kind = "text" if name == "content" else "thinking"
        sent_text = "".join(each["choices"][0]["delta"].get(name, "") for each in said)
        assert "".join(block[kind] for block in content if block["type"] == kind) == sent_text
    used = {block["id"]: json.loads(block["json"]) for block in content if block["type"] == "tool_use"}
    assert used == {f"t{i}": given_input for i, given_input in enumerate(inputs)}
    assert events[-1]["type"] == "message_stop"


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_stream_survives_the_way_to_openai_and_back(said: list[str]):
    stream = chat_stream(*(chunk({"content": each}) for each in said), chunk({}, "stop"), usage_chunk())
    there = through(messages_call(stream=True).streamed(), stream)
    call = chat_call(stream=True, stream_options={"include_usage": True})
    got = deltas(through(call.streamed(), there))
    assert "".join(each.get("content", "") for each in got if isinstance(each, dict)) == "".join(said)
    assert got[-2]["usage"]["total_tokens"] == 26


NAMES = (
    *("choices", "delta", "message", "content", "tool_calls", "function", "arguments", "name", "id", "index", "usage"),
    *("type", "error", "text", "content_block", "stop_reason", "finish_reason", "input", "model", "role", "source"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=4), st.binary(max_size=20))
def test_no_answer_of_a_provider_crashes_a_translation(values: list[Any], rest: bytes):
    for call in (messages_call(stream=True, thinking={"type": "adaptive"}), chat_call(stream=True)):
        stream = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
        through(call.streamed(), stream, rest)
        for body in (rest, *(json.dumps(value).encode() for value in values)):
            assert isinstance(json.loads(call.whole(body)), dict)
            assert "error" in json.loads(call.error(500, body)[1])


@given(JSON)
def test_no_request_crashes_a_translation(value: Any):
    for translate in TRANSLATIONS.values():
        for body in (value, {"max_tokens": 9, "messages": value}, {"max_tokens": 9, "messages": [value]}):
            with suppress(Untranslatable):
                assert json.loads(translate(json.dumps(body).encode(), context()).body)


def test_an_empty_answer_survives_the_way_to_openai_and_back():
    streamed = MessagesToChat(context(), wants_usage=False)
    there = ChatToMessages(context(), (), shows_thinking=True)
    stream = through(there, chat_stream(chunk({"role": "assistant"}), chunk({}, "stop")))
    assert deltas(through(streamed, stream))[-2:] == ["stop", "[DONE]"]
    assert message_end()[1] == events_of(stream)[-1]
