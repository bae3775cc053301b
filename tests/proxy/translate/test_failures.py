"""Errors of providers, as the clients of the other protocol get them."""

import json
from typing import Any

import pytest

from tests.proxy.translate.translating import chat_call, messages_call

OPENAI = {"error": {"message": "boom", "type": "x", "param": None, "code": "y"}}
ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (402, 402, "billing_error"),
        (403, 403, "permission_error"),
        (404, 404, "not_found_error"),
        (413, 413, "request_too_large"),
        (418, 418, "invalid_request_error"),
        (422, 422, "invalid_request_error"),
        (429, 429, "rate_limit_error"),
        (500, 500, "api_error"),
        (502, 502, "api_error"),
        (503, 503, "overloaded_error"),
        (504, 504, "timeout_error"),
        (302, 502, "api_error"),
        (999, 502, "api_error"),
    ],
)
def test_a_messages_client_gets_anthropics_errors(status: int, told: int, kind: str):
    got, body = messages_call().error(status, raw(OPENAI))
    assert (got, json.loads(body)) == (told, {"type": "error", "error": {"type": kind, "message": "boom"}})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_exceeded"),
        (500, "server_error"),
        (529, "service_unavailable"),
    ],
)
def test_a_chat_client_gets_openais_errors(status: int, kind: str):
    got, body = chat_call().error(status, raw(ANTHROPIC))
    assert got == status
    assert json.loads(body) == {"error": {"message": "busy", "type": kind, "param": None, "code": "overloaded_error"}}


NOTHING = "the provider answered with status 500 and no message"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", NOTHING),
        (b"  \n", NOTHING),
        (b"<html><body>Bad gateway</body></html>", NOTHING),
        (b"null", NOTHING),
        (b"{}", NOTHING),
        (b"upstream timed out", "upstream timed out"),
        (b"\xff\xfe", "��"),
        (raw({"error": "boom"}), "boom"),
        (raw({"message": "boom"}), "boom"),
        (raw({"detail": "boom"}), "boom"),
        (raw([OPENAI]), "boom"),
        (raw({"error": {"code": 404, "message": "boom", "status": "NOT_FOUND"}}), "boom"),
        (raw({"error": {"type": "odd"}}), "odd"),
        (raw({"error": {"message": {"a": 1}}}), "the provider told no reason"),
        (raw({"detail": [{"msg": "boom"}]}), '{"detail": [{"msg": "boom"}]}'),
        (b"[" * 100_000, "[" * 4_000),
    ],
)
@pytest.mark.parametrize("call", [messages_call, chat_call])
def test_whatever_an_errors_body_is_the_client_gets_a_message(call: Any, body: bytes, message: str):
    status, told = call().error(500, body)
    assert (status, json.loads(told)["error"]["message"]) == (500, message)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"},
        {"message": "Input exceeds the context window of this model."},
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_claude_code_knows(error: dict[str, str]):
    _, body = messages_call().error(400, raw({"error": error}))
    assert json.loads(body)["error"]["message"] == f"prompt is too long: {error['message']}"


def test_a_prompt_that_is_too_long_for_anthropic_has_openais_code():
    error = {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}
    _, body = chat_call().error(400, raw({"type": "error", "error": error}))
    assert json.loads(body)["error"]["code"] == "context_length_exceeded"
