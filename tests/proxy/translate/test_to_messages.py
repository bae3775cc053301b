"""Requests of OpenAI Chat towards Anthropic."""

import base64
from typing import Any

import pytest

from proxy.errors import Untranslatable
from tests.proxy.translate.translating import HELLO, chat_call, sent

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def call(call_id: str, arguments: str = "{}", name: str = "read") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(content: Any = None, **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **others}


def tool(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def use(call_id: str, given: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "read", "input": given or {}}


def result(call_id: str, **content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, **({"content": "ok"} | content)}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def file(data: str, **named: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **named}}


U = {"role": "user", "content": "a"}
USER = turn("user", text("a"))
NOTES = base64.b64encode("Grüße".encode()).decode()

CONVERSATIONS = [
    pytest.param([U], [USER], id="text"),
    pytest.param([U, assistant("b"), U], [USER, turn("assistant", text("b")), USER], id="many turns"),
    pytest.param([U, U], [turn("user", text("a"), text("a"))], id="one role, one turn"),
    pytest.param([user(text("a"), text(""))], [USER], id="empty texts are refused by Anthropic"),
    pytest.param([U, assistant(""), U], [turn("user", text("a"), text("a"))], id="an empty answer"),
    pytest.param([{**U, "name": "Ann"}], [turn("user", text("Ann:"), text("a"))], id="who speaks"),
    pytest.param(
        [user(image("data:image/png;base64,iVBO"))],
        [turn("user", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}})],
        id="an image",
    ),
    pytest.param(
        [user(image("https://x.org/i.png"))],
        [turn("user", {"type": "image", "source": {"type": "url", "url": "https://x.org/i.png"}})],
        id="an image's address",
    ),
    pytest.param(
        [user(file("data:application/pdf;base64,JVBE", filename="a.pdf"))],
        [
            turn(
                "user",
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                    "title": "a.pdf",
                },
            )
        ],
        id="a PDF",
    ),
    pytest.param(
        [user(file(f"data:text/markdown;charset=utf-8;base64,{NOTES}"))],
        [turn("user", {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}})],
        id="a text file",
    ),
    pytest.param(
        [U, assistant("b", tool_calls=[call("t", '{"path":"x"}'), call("u", "")]), tool("t"), tool("u"), U],
        [
            USER,
            turn("assistant", text("b"), use("t", {"path": "x"}), use("u")),
            turn("user", result("t"), result("u"), text("a")),
        ],
        id="parallel calls, and their results with what follows",
    ),
    pytest.param(
        [U, assistant(tool_calls=[call("t"), call("u")]), tool("t"), U, tool("u")],
        [USER, turn("assistant", use("t"), use("u")), turn("user", result("t"), result("u"), text("a"))],
        id="results come first",
    ),
    pytest.param(
        [U, assistant(tool_calls=[call("functions.read:0")]), tool("functions.read:0", [text("x")])],
        [
            USER,
            turn("assistant", use("functions_read_0")),
            turn("user", result("functions_read_0", content=[text("x")])),
        ],
        id="ids that Anthropic does not take",
    ),
    pytest.param(
        [U, assistant(tool_calls=[call("t")]), tool("t", "")],
        [USER, turn("assistant", use("t")), turn("user", {"type": "tool_result", "tool_use_id": "t"})],
        id="an empty result",
    ),
    pytest.param(
        [U, assistant(refusal="No."), U], [USER, turn("assistant", text("No.")), USER], id="a refusal is what was said"
    ),
    pytest.param(
        [U, assistant("b", reasoning_content="hm", name="bot"), U],
        [USER, turn("assistant", text("b")), USER],
        id="thinking is left out",
    ),
    pytest.param([U, assistant("{")], [USER, turn("assistant", text("{"))], id="an answer to be continued"),
]


@pytest.mark.parametrize(("messages", "expected"), CONVERSATIONS)
def test_a_conversation(messages: list[Any], expected: list[Any]):
    assert sent(chat_call(messages=messages))["messages"] == expected


def test_the_first_system_and_developer_messages_are_the_system_prompt():
    said = [{"role": "system", "content": "a"}, {"role": "developer", "content": [text("b")]}, U]
    request = sent(chat_call(messages=said))
    assert (request["system"], request["messages"]) == ([text("a"), text("b")], [USER])


def test_a_later_system_message_stays_in_its_place_where_the_model_knows_such():
    said = [U, {"role": "developer", "content": "b"}, U]
    assert sent(chat_call(messages=said))["messages"] == [USER, turn("system", text("b")), USER]
    old = sent(chat_call("claude-sonnet-4-5", messages=said))
    assert (old["system"], old["messages"]) == ([text("b")], [turn("user", text("a"), text("a"))])


FUNCTION = {"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA}}
TOOL = {"name": "read", "description": "Reads.", "input_schema": SCHEMA}

PARAMETERS = [
    pytest.param({}, {}, id="nothing"),
    pytest.param({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3, "top_p": 0.9}, id="sampling"),
    pytest.param({"temperature": 1.7}, {}, id="a temperature above 1 is 1, which is not said"),
    pytest.param({"temperature": 1, "top_p": 1.0}, {}, id="what both do unasked is not said"),
    pytest.param({"temperature": 0}, {"temperature": 0}, id="no heat at all"),
    pytest.param({"top_k": 5}, {"top_k": 5}, id="top_k, which some clients know"),
    pytest.param({"stop": "END"}, {"stop_sequences": ["END"]}, id="a stop sequence"),
    pytest.param({"stop": ["A", "B"]}, {"stop_sequences": ["A", "B"]}, id="stop sequences"),
    pytest.param({"stop": None}, {}, id="no stop sequence"),
    pytest.param({"max_tokens": 9}, {"max_tokens": 9}, id="a length by its older name"),
    pytest.param({"max_completion_tokens": 8, "max_tokens": 9}, {"max_tokens": 8}, id="a length"),
    pytest.param({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, id="a stream"),
    pytest.param({"tools": [FUNCTION]}, {"tools": [TOOL]}, id="a function"),
    pytest.param(
        {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True}]},
        id="a function without parameters",
    ),
    pytest.param(
        {"tools": [FUNCTION], "tool_choice": "required", "parallel_tool_calls": True},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        id="required",
    ),
    pytest.param(
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "read"}}},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "read"}},
        id="a certain function",
    ),
    pytest.param(
        {"tools": [FUNCTION], "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        id="one at a time",
    ),
    pytest.param(
        {"tools": [FUNCTION], "tool_choice": "none", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "none"}},
        id="none",
    ),
    pytest.param({"tool_choice": "auto", "parallel_tool_calls": False}, {}, id="a choice of no functions"),
    pytest.param({"response_format": {"type": "text"}}, {}, id="text"),
    pytest.param(
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        id="a schema",
    ),
    pytest.param(
        {"reasoning_effort": "minimal"},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        id="the least effort",
    ),
    pytest.param(
        {
            "reasoning_effort": "xhigh",
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        },
        {
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": SCHEMA}},
        },
        id="effort and a schema",
    ),
    pytest.param({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, id="no thinking"),
    pytest.param(
        {"reasoning_effort": "high", "tools": [FUNCTION], "tool_choice": "required"},
        {"output_config": {"effort": "high"}, "tools": [TOOL], "tool_choice": {"type": "any"}},
        id="no thinking before a forced call",
    ),
    pytest.param({"user": "ann"}, {"metadata": {"user_id": "ann"}}, id="the end user by the older name"),
    pytest.param({"safety_identifier": "ann", "user": "bob"}, {"metadata": {"user_id": "ann"}}, id="the end user"),
    pytest.param({"service_tier": "default"}, {"service_tier": "standard_only"}, id="the standard tier"),
    pytest.param(
        {
            "n": 1,
            "presence_penalty": 0.0,
            "logit_bias": {},
            "logprobs": False,
            "modalities": ["text"],
            "store": True,
            "metadata": {"a": "b"},
            "prompt_cache_key": "k",
        },
        {},
        id="hints, and what asks for nothing",
    ),
]


@pytest.mark.parametrize(("asked", "expected"), PARAMETERS)
def test_parameters(asked: dict[str, Any], expected: dict[str, Any]):
    request = sent(chat_call(**asked))
    assert request.pop("messages") == [turn("user", text("Hello"))]
    assert request.pop("model") == "claude-opus-5-5"
    assert request == {"max_tokens": 32_000} | expected


@pytest.mark.parametrize(
    ("model", "length"),
    [
        ("claude-3-haiku-20240307", 4_096),
        ("anthropic/claude-3-5-sonnet-latest", 8_192),
        ("claude-opus-4-1", 32_000),
        ("anything", 32_000),
    ],
)
def test_without_a_length_the_most_that_the_model_can_is_asked_for(model: str, length: int):
    assert sent(chat_call(model))["max_tokens"] == length


def test_an_older_model_is_told_a_budget_but_not_while_a_call_is_answered():
    asked = {"reasoning_effort": "low", "max_tokens": 4_000}
    request = sent(chat_call("claude-sonnet-4-5", **asked))
    assert request["thinking"] == {"type": "enabled", "budget_tokens": 2_048}
    answering = [*HELLO, assistant(tool_calls=[call("t")]), tool("t"), U]
    assert "thinking" not in sent(chat_call("claude-sonnet-4-5", **asked, messages=answering))


NO = "has no counterpart in Anthropic Messages"
REFUSED = [
    ({"n": 2}, "n", f"2 {NO}"),
    ({"n": True}, "n", f"true {NO}"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", f"0.5 {NO}"),
    ({"verbosity": "low"}, "verbosity", NO),
    ({"modalities": ["text", "audio"]}, "modalities", NO),
    ({"audio": {"voice": "x"}}, "audio", NO),
    ({"logprobs": True}, "logprobs", NO),
    ({"logit_bias": {"5": 1}}, "logit_bias", NO),
    ({"seed": 5}, "seed", NO),
    ({"functions": [{"name": "f"}]}, "functions", "say it with `tools`"),
    ({"web_search_options": {"search_context_size": "low"}}, "web_search_options", NO),
    ({"brand_new": 1}, "brand_new", "has no known counterpart in Anthropic Messages"),
    ({"service_tier": "flex"}, "service_tier", f"flex {NO}"),
    ({"reasoning_effort": "huge"}, "reasoning_effort", f"huge {NO}"),
    ({"response_format": {"type": "json_object"}}, "response_format.type", f"json_object {NO}; json_schema has one"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools.0.type", f"custom {NO}"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type", f"allowed_tools {NO}"),
    ({"tools": [FUNCTION], "tool_choice": "some"}, "tool_choice", f"some {NO}"),
    ({"tool_choice": "required"}, "tool_choice", "asks for a tool, but there are none"),
    ({"messages": []}, "messages", "must have a message of the user"),
    ({"messages": [{"role": "system", "content": "a"}]}, "messages", "must have a message of the user"),
    ({"messages": [{"role": "function", "content": "a"}]}, "messages.0.role", f"function {NO}"),
    ({"messages": [user({"type": "input_audio"})]}, "messages.0.content.0.type", f"input_audio {NO}"),
    ({"messages": [user(image("data:image/png,xyz"))]}, "messages.0.content.0.image_url.url", "must be a data URL"),
    (
        {"messages": [user({"type": "file", "file": {"file_id": "f"}})]},
        "messages.0.content.0.file.file_id",
        "send the file itself",
    ),
    (
        {"messages": [user(file("data:application/zip;base64,AA"))]},
        "messages.0.content.0.file.file_data",
        f"a file of application/zip {NO}",
    ),
    (
        {"messages": [user(file("data:text/plain;base64,//8="))]},
        "messages.0.content.0.file.file_data",
        "must be UTF-8 text in base64",
    ),
    (
        {"messages": [U, assistant(tool_calls=[call("t", "{oops")])]},
        "messages.1.tool_calls.0.function.arguments",
        "is no JSON",
    ),
    (
        {"messages": [U, assistant(tool_calls=[call("t", "[1]")])]},
        "messages.1.tool_calls.0.function.arguments",
        "must be an object",
    ),
    ({"messages": [U, assistant(tool_calls=[{"type": "custom"}])]}, "messages.1.tool_calls.0.type", f"custom {NO}"),
    ({"messages": [U, assistant(audio={"id": "a"})]}, "messages.1.audio", NO),
    ({"messages": [tool("t", [image("https://x")])]}, "messages.0.content.0.type", f"image_url {NO} here"),
]


@pytest.mark.parametrize(("asked", "field", "why"), REFUSED, ids=[field for _, field, _ in REFUSED])
def test_what_has_no_counterpart_is_refused_by_name(asked: dict[str, Any], field: str, why: str):
    with pytest.raises(Untranslatable) as refused:
        chat_call(**asked)
    assert refused.value.field == field
    assert why in refused.value.why


def test_where_and_how_it_is_sent():
    made = chat_call()
    assert (made.path, made.stream) == ("/v1/messages", False)
    assert made.headers == {"content-type": "application/json", "anthropic-version": "2023-06-01"}
