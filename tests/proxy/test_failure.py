"""What kind of failure a provider's answer is."""

import pytest

from proxy.failure import FailureKind, kind_of


def anthropic(kind: str, message: str = "x") -> bytes:
    return b'{"type":"error","error":{"type":"%s","message":"%s"}}' % (kind.encode(), message.encode())


def openai(code: str, kind: str = "invalid_request_error", message: str = "x") -> bytes:
    return b'{"error":{"message":"%s","type":"%s","code":"%s"}}' % (message.encode(), kind.encode(), code.encode())


def gemini(status: str, message: str = "x") -> bytes:
    return b'{"error":{"code":400,"message":"%s","status":"%s"}}' % (message.encode(), status.encode())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (529, anthropic("overloaded_error"), FailureKind.OVERLOADED),
        (200, anthropic("overloaded_error"), FailureKind.OVERLOADED),
        (503, b"<html>busy</html>", FailureKind.OVERLOADED),
        (429, anthropic("rate_limit_error"), FailureKind.RATE_LIMITED),
        (429, openai("rate_limit_exceeded", "requests"), FailureKind.RATE_LIMITED),
        (429, openai("insufficient_quota", "insufficient_quota"), FailureKind.QUOTA),
        (429, gemini("RESOURCE_EXHAUSTED"), FailureKind.RATE_LIMITED),
        (402, anthropic("billing_error"), FailureKind.QUOTA),
        (401, anthropic("authentication_error"), FailureKind.CREDENTIAL),
        (401, openai("invalid_api_key"), FailureKind.CREDENTIAL),
        (403, gemini("PERMISSION_DENIED"), FailureKind.CREDENTIAL),
        (504, anthropic("timeout_error"), FailureKind.TIMEOUT),
        (400, openai("context_length_exceeded"), FailureKind.CONTEXT_LENGTH),
        (
            400,
            anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            FailureKind.CONTEXT_LENGTH,
        ),
        (
            400,
            anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"),
            FailureKind.CONTEXT_LENGTH,
        ),
        (413, anthropic("request_too_large"), FailureKind.CONTEXT_LENGTH),
        (
            400,
            gemini("INVALID_ARGUMENT", "The input token count (1100000) exceeds the maximum number of tokens"),
            FailureKind.CONTEXT_LENGTH,
        ),
        (400, openai("content_policy_violation"), FailureKind.CONTENT_POLICY),
        (
            400,
            openai("content_filter", message="The response was filtered due to the content management policy"),
            FailureKind.CONTENT_POLICY,
        ),
        (
            400,
            anthropic("invalid_request_error", "Output blocked by content filtering policy"),
            FailureKind.CONTENT_POLICY,
        ),
        (400, anthropic("invalid_request_error", "max_tokens: Field required"), FailureKind.REQUEST),
        (404, anthropic("not_found_error"), FailureKind.REQUEST),
        (500, anthropic("api_error"), FailureKind.ERROR),
        (502, b"", FailureKind.ERROR),
        (500, b"[" * 100_000, FailureKind.ERROR),
        (400, b'{"error":"text"}', FailureKind.REQUEST),
        (400, b'{"error":{"type":7,"code":[],"message":{}}}', FailureKind.REQUEST),
    ],
)
def test_the_kind_of_an_answer(status: int, body: bytes, kind: FailureKind):
    assert kind_of(status, body) is kind


@pytest.mark.parametrize(
    ("error_class", "kind"),
    [
        ("connect_timeout", FailureKind.TIMEOUT),
        ("first_byte_timeout", FailureKind.TIMEOUT),
        ("provider_unreachable", FailureKind.ERROR),
        ("provider_broke_off", FailureKind.ERROR),
    ],
)
def test_the_kind_without_an_answer(error_class: str, kind: FailureKind):
    assert kind_of(0, b"", error_class) is kind
