"""Requests of Anthropic Messages towards OpenAI-style providers."""

import hashlib
from typing import Any

import pytest

from proxy.errors import ProxyError, Untranslatable
from proxy.translate import TRANSLATIONS
from tests.proxy.translate.translating import GPT, HELLO, context, messages_call, sent

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
IMAGE = {"type": "image", "source": PNG}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
EPHEMERAL = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def text(said: str, **others: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **others}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(tool_id: str, name: str = "read", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": given}


def result(tool_id: str, content: Any = "ok", **others: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": tool_id, "content": content, **others}


def called(tool_id: str, name: str = "read", arguments: str = "{}") -> dict[str, Any]:
    return {"id": tool_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(tool_id: str, content: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": tool_id, "content": content}


U, A = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}

CONVERSATIONS = [
    pytest.param([U], [U], id="text"),
    pytest.param([U, A, U], [U, A, U], id="many turns"),
    pytest.param([user(text("a"), text("b"))], [{"role": "user", "content": "a\n\nb"}], id="texts are joined"),
    pytest.param([user(text("a", **EPHEMERAL))], [U], id="cache marks are left out"),
    pytest.param([user(text("a")), user(text("b"))], [{"role": "user", "content": "a\n\nb"}], id="one role, one turn"),
    pytest.param([user(text(""), text("a"))], [U], id="empty texts say nothing"),
    pytest.param(
        [U, assistant({"type": "thinking", "thinking": "hm", "signature": "s"}, text("b")), U],
        [U, A, U],
        id="thinking is left out",
    ),
    pytest.param(
        [U, assistant({"type": "redacted_thinking", "data": "x"}), user(text("c"))],
        [U, {"role": "user", "content": "c"}],
        id="an answer of nothing but thinking is left out",
    ),
    pytest.param([user(text("a"), IMAGE)], [{"role": "user", "content": [text("a"), SHOWN]}], id="an image"),
    pytest.param(
        [user({"type": "image", "source": {"type": "url", "url": "https://x.org/i.png"}})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.org/i.png"}}]}],
        id="an image's address",
    ),
    pytest.param(
        [user({"type": "document", "title": "a.pdf", "source": {**PNG, "media_type": "application/pdf"}})],
        [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,iVBO"}}
                ],
            }
        ],
        id="a PDF",
    ),
    pytest.param(
        [
            user(
                {
                    "type": "document",
                    "title": "T",
                    "context": "C",
                    "source": {"type": "text", "media_type": "text/plain", "data": "D"},
                    "citations": {"enabled": False},
                }
            )
        ],
        [{"role": "user", "content": "T\n\nC\n\nD"}],
        id="a text document",
    ),
    pytest.param(
        [user({"type": "document", "source": {"type": "content", "content": [text("a"), IMAGE]}})],
        [{"role": "user", "content": [text("a"), SHOWN]}],
        id="a document of blocks",
    ),
    pytest.param(
        [user({"type": "search_result", "title": "T", "source": "https://x.org", "content": [text("found")]})],
        [{"role": "user", "content": "T (https://x.org)\n\nfound"}],
        id="a search result",
    ),
    pytest.param(
        [U, assistant(text("b"), use("t1", path="x"), use("t2")), user(result("t1"), result("t2", "two"))],
        [
            U,
            {"role": "assistant", "content": "b", "tool_calls": [called("t1", arguments='{"path":"x"}'), called("t2")]},
            tool("t1"),
            tool("t2", "two"),
        ],
        id="parallel calls and their results",
    ),
    pytest.param(
        [U, assistant(use("t1")), user(result("t1"), text("go on"))],
        [
            U,
            {"role": "assistant", "content": None, "tool_calls": [called("t1")]},
            tool("t1"),
            {"role": "user", "content": "go on"},
        ],
        id="a call without text has null content",
    ),
    pytest.param(
        [U, assistant(use("t1"), use("t2")), user(text("first"), result("t2")), user(result("t1"))],
        [
            U,
            {"role": "assistant", "content": None, "tool_calls": [called("t1"), called("t2")]},
            tool("t2"),
            tool("t1"),
            {"role": "user", "content": "first"},
        ],
        id="results come right behind the calls, from however many messages",
    ),
    pytest.param(
        [U, assistant(use("t1")), user(result("t1", [text("seen"), IMAGE], is_error=True))],
        [
            U,
            {"role": "assistant", "content": None, "tool_calls": [called("t1")]},
            tool("t1", "Error: seen"),
            {"role": "user", "content": [text("From the result of the call t1:"), SHOWN]},
        ],
        id="a failed result with an image",
    ),
    pytest.param(
        [U, assistant(use("t1")), user(result("t1", [IMAGE]))],
        [
            U,
            {"role": "assistant", "content": None, "tool_calls": [called("t1")]},
            tool("t1", "(what it gave follows in the user's message)"),
            {"role": "user", "content": [text("From the result of the call t1:"), SHOWN]},
        ],
        id="a result of nothing but an image",
    ),
    pytest.param(
        [U, assistant(use("t1")), user({"type": "tool_result", "tool_use_id": "t1"})],
        [U, {"role": "assistant", "content": None, "tool_calls": [called("t1")]}, tool("t1", "")],
        id="an empty result",
    ),
    pytest.param(
        [U, assistant(use("t1")), user(result("t1", [{"type": "tool_reference", "tool_name": "grep"}]))],
        [
            U,
            {"role": "assistant", "content": None, "tool_calls": [called("t1")]},
            tool("t1", "There is a tool grep."),
        ],
        id="a tool that was found",
    ),
    pytest.param(
        [U, {"role": "system", "content": "be brief"}, A, U],
        [U, {"role": "system", "content": "be brief"}, A, U],
        id="a later system message stays in its place",
    ),
    pytest.param(
        [
            U,
            {"role": "system", "content": "be brief", "clear_at": "next_user_message"},
            A,
            U,
            {"role": "system", "content": "be kind", "clear_at": "next_user_message"},
        ],
        [U, A, U, {"role": "system", "content": "be kind"}],
        id="a system message for one turn",
    ),
]


@pytest.mark.parametrize(("messages", "expected"), CONVERSATIONS)
def test_a_conversation(messages: list[Any], expected: list[Any]):
    assert sent(messages_call(messages=messages))["messages"] == expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("be kind", ["be kind"]),
        ([text("You are", **EPHEMERAL), text("kind")], ["You are\n\nkind"]),
        ([text("x-anthropic-billing-header: cc_version=2; cch=a1;"), text("kind")], ["kind"]),
        ("", []),
        (None, []),
    ],
)
def test_the_system_prompt(system: Any, expected: list[str]):
    said = [m["content"] for m in sent(messages_call(system=system))["messages"] if m["role"] == "system"]
    assert said == expected


TOOL = {"name": "read", "description": "Reads.", "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA}}
ANY_FORMAT = {"type": "json_schema", "schema": SCHEMA}
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}

#: What the client says; what the provider is told besides model, messages and the length.
PARAMETERS = [
    pytest.param({}, {}, id="nothing"),
    pytest.param({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3, "top_p": 0.9}, id="sampling"),
    pytest.param({"stop_sequences": ["END"]}, {"stop": ["END"]}, id="stop sequences"),
    pytest.param(
        {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}, id="a stream asks for its counts"
    ),
    pytest.param({"tools": [TOOL | EPHEMERAL]}, {"tools": [FUNCTION]}, id="a tool"),
    pytest.param({"tools": []}, {}, id="no tools"),
    pytest.param(
        {"tools": [{"type": "custom", "name": "f", "input_schema": SCHEMA, "strict": True, "defer_loading": True}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}]},
        id="a strict tool",
    ),
    pytest.param(
        {"tools": [{**TOOL, "input_examples": [{"path": "x"}]}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": FUNCTION["function"] | {"description": 'Reads.\nExample of its input: {"path":"x"}'},
                }
            ]
        },
        id="examples of a tool's input",
    ),
    pytest.param(
        {"tools": [TOOL], "tool_choice": {"type": "auto"}}, {"tools": [FUNCTION], "tool_choice": "auto"}, id="auto"
    ),
    pytest.param(
        {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tools": [FUNCTION], "tool_choice": "required", "parallel_tool_calls": False},
        id="any, one at a time",
    ),
    pytest.param(
        {"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tools": [FUNCTION], "tool_choice": "none"}, id="none"
    ),
    pytest.param(
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "read"}},
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "read"}}},
        id="a certain tool",
    ),
    pytest.param({"tool_choice": {"type": "auto"}}, {}, id="a choice of no tools"),
    pytest.param({"output_config": {"format": ANY_FORMAT}}, {"response_format": RESPONSE_FORMAT}, id="a schema"),
    pytest.param({"output_format": ANY_FORMAT}, {"response_format": RESPONSE_FORMAT}, id="a schema's older name"),
    pytest.param({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}, id="effort"),
    pytest.param(
        {"thinking": {"type": "enabled", "budget_tokens": 10_000}}, {"reasoning_effort": "medium"}, id="a budget"
    ),
    pytest.param({"thinking": {"type": "adaptive"}}, {}, id="adaptive thinking is the model's own choice"),
    pytest.param({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}, id="no thinking"),
    pytest.param({"metadata": {"user_id": "ann", "more": 1}}, {"safety_identifier": "ann"}, id="the end user"),
    pytest.param(
        {"metadata": {"user_id": "u" * 65}},
        {"safety_identifier": hashlib.sha256(b"u" * 65).hexdigest()},
        id="an end user's name that is too long",
    ),
    pytest.param({"service_tier": "auto"}, {}, id="any tier"),
    pytest.param({"service_tier": "standard_only"}, {"service_tier": "default"}, id="the standard tier"),
    pytest.param({"speed": "fast"}, {"service_tier": "priority"}, id="fast"),
    pytest.param(
        {
            "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
            "cache_control": {"type": "ephemeral"},
            "diagnostics": {"previous_message_id": None},
            "betas": ["context-1m"],
        },
        {},
        id="hints",
    ),
    pytest.param({"top_k": None, "container": None, "mcp_servers": [], "new_thing": None}, {}, id="asking for nothing"),
]


@pytest.mark.parametrize(("asked", "expected"), PARAMETERS)
def test_parameters(asked: dict[str, Any], expected: dict[str, Any]):
    request = sent(messages_call(**asked))
    assert request.pop("messages") == HELLO
    assert (request.pop("model"), request.pop("max_completion_tokens")) == (GPT, 100)
    assert request == expected


@pytest.mark.parametrize(
    ("model", "length", "user", "asks"),
    [
        ("gpt-4o", "max_completion_tokens", "safety_identifier", True),
        ("openai/o3-mini", "max_completion_tokens", "safety_identifier", True),
        ("openai/gpt-oss-120b", "max_tokens", "user", True),
        ("llama-4-maverick", "max_tokens", "user", True),
        ("deepseek-v4", "max_tokens", "user", True),
        ("mistral-large-latest", "max_tokens", None, False),
        ("labs-devstral-small-2512", "max_tokens", None, False),
    ],
)
def test_each_provider_is_told_by_the_names_it_knows(model: str, length: str, user: str | None, asks: bool):  # noqa: FBT001
    request = sent(messages_call(model, metadata={"user_id": "ann"}, stream=True))
    expected = {"model", "messages", "stream", length} | ({user} if user else set())
    assert request.keys() == expected | ({"stream_options"} if asks else set())


@pytest.mark.parametrize("model", ["deepseek-v4", "deepseek/deepseek-reasoner", "moonshotai/Kimi-K2-Thinking"])
def test_models_that_want_their_thinking_back_get_it(model: str):
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    said = [U, assistant(thought, use("t1")), user(result("t1")), assistant(text("b")), U]
    answers = [each for each in sent(messages_call(model, messages=said))["messages"] if each["role"] == "assistant"]
    assert [each["reasoning_content"] for each in answers] == ["hm", ""]


def test_claude_codes_own_request_is_translated():
    """The fields that Claude Code sends, with an OpenAI model that does not reason behind them."""
    request = sent(
        messages_call(
            "gpt-4o",
            stream=True,
            max_tokens=32_000,
            system=[
                text("x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli;"),
                text("You are Claude Code", **EPHEMERAL),
            ],
            messages=[user(text("<system-reminder>x</system-reminder>"), text("fix it", **EPHEMERAL))],
            tools=[{**TOOL, "eager_input_streaming": True}],
            thinking={"type": "adaptive"},
            output_config={"effort": "high"},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            metadata={"user_id": "user_" + "a" * 64 + "_account__session_" + "b" * 36},
        )
    )
    assert list(request) == [
        *("model", "messages", "max_completion_tokens", "tools", "safety_identifier", "stream", "stream_options"),
    ]
    assert request["messages"][0] == {"role": "system", "content": "You are Claude Code"}


NO = "has no counterpart in OpenAI Chat"
REFUSED = [
    ({"tools": [TOOL, {"type": "web_search_20250305", "name": "s"}]}, "tools.1.type", f"web_search_20250305 {NO}"),
    ({"top_k": 5}, "top_k", NO),
    ({"mcp_servers": [{"name": "x"}]}, "mcp_servers", NO),
    ({"container": "c"}, "container", NO),
    ({"inference_geo": "eu"}, "inference_geo", NO),
    ({"brand_new": 1}, "brand_new", "has no known counterpart in OpenAI Chat"),
    ({"tools": [{**TOOL, "brand_new": 1}]}, "tools.0.brand_new", "has no known counterpart in OpenAI Chat"),
    ({"tools": [{**TOOL, "allowed_callers": ["code_execution_20260120"]}]}, "tools.0.allowed_callers", "only"),
    ({"tools": [{"name": "f"}]}, "tools.0.input_schema", "must be an object"),
    ({"tools": "f"}, "tools", "must be a list"),
    ({"tool_choice": {"type": "any"}}, "tool_choice", "asks for a tool, but there are none"),
    ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type", f"some {NO}"),
    ({"max_tokens": None}, "max_tokens", "is required"),
    ({"max_tokens": 0}, "max_tokens", "0 asks for no answer"),
    ({"max_tokens": "9"}, "max_tokens", "must be a whole number"),
    ({"temperature": "hot"}, "temperature", "must be a number"),
    ({"stream": "yes"}, "stream", "must be true or false"),
    ({"thinking": {"type": "wild"}}, "thinking.type", f"wild {NO}"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "must be a whole number"),
    ({"thinking": "on"}, "thinking", "must be an object"),
    ({"output_config": {"effort": "huge"}}, "output_config.effort", f"huge {NO}"),
    ({"output_config": {"task_budget": {"total": 9}}}, "output_config.task_budget", NO),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type", f"xml {NO}"),
    ({"service_tier": "gold"}, "service_tier", f"gold {NO}"),
    ({"speed": "warp"}, "speed", f"warp {NO}"),
    ({"messages": []}, "messages", "must have a message"),
    ({"messages": None}, "messages", "must have a message"),
    ({"messages": [3]}, "messages.0", "must be an object"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", f"robot {NO}"),
    ({"messages": [{"role": "user"}]}, "messages.0.content", "must be a string or a list of blocks"),
    ({"messages": [U, A]}, "messages.1", "OpenAI Chat cannot continue"),
    ({"messages": [user({"type": "container_upload", "file_id": "f"})]}, "messages.0.content.0.type", NO),
    ({"messages": [user({"type": ["text"]})]}, "messages.0.content.0.type", "must be a string"),
    ({"messages": [user({"type": "text"})]}, "messages.0.content.0.text", "must be a string"),
    (
        {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://x"}})]},
        "messages.0.content.0.source.type",
        f"url {NO}",
    ),
    (
        {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
        "messages.0.content.0.source.type",
        f"file {NO}",
    ),
    (
        {"messages": [user({"type": "document", "source": PNG, "citations": {"enabled": True}})]},
        "messages.0.content.0.citations",
        "citing",
    ),
    ({"messages": [U, assistant(IMAGE), U]}, "messages.1.content.0.type", "image has no counterpart"),
    ({"messages": [U, assistant({"type": "server_tool_use"}), U]}, "messages.1.content.0.type", "server_tool_use"),
    (
        {"messages": [U, assistant(use("t", "f") | {"input": "x"}), U]},
        "messages.1.content.0.input",
        "must be an object",
    ),
    ({"messages": [user(result("t", [{"type": "browser_state"}]))]}, "messages.0.content.0.content.0.type", NO),
    ({"system": [IMAGE]}, "system.0.type", "image"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id", "must be a string"),
]


@pytest.mark.parametrize(("asked", "field", "why"), REFUSED, ids=[field for _, field, _ in REFUSED])
def test_what_has_no_counterpart_is_refused_by_name(asked: dict[str, Any], field: str, why: str):
    with pytest.raises(Untranslatable) as refused:
        messages_call(**asked)
    assert refused.value.field == field
    assert why in refused.value.why
    assert str(refused.value) == f"{field}: {refused.value.why}"
    assert isinstance(refused.value, ProxyError)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"messages": "\\ud800"}', b"[" * 100_000]
)
@pytest.mark.parametrize("translate", TRANSLATIONS.values())
def test_a_body_that_is_no_request_is_refused(translate: Any, body: bytes):
    with pytest.raises(Untranslatable):
        translate(body, context())


def test_where_and_how_it_is_sent():
    call = messages_call(stream=True)
    assert (call.path, call.stream) == ("/v1/chat/completions", True)
    assert call.headers == {"content-type": "application/json"}
