"""What error answers mean."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.classify import MAX_ERROR_BYTES, classify
from proxy.failure import FAULTS, HANDLING, Blame, FailureClass, failure_of_fault

F = FailureClass


def anthropic(kind: str, message: str = "") -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def openai(code: object, message: str = "", kind: str = "invalid_request_error") -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def gemini(code: int, status: str, message: str = "", *details: object) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "status": status, "details": [*details]}}


def reason(text: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": text, "domain": "googleapis.com"}


def quota(identifier: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": identifier}]}


def delay(span: object) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": span}


ANSWERS = {
    # Anthropic
    "anthropic overloaded": (529, anthropic("overloaded_error", "Overloaded"), F.OVERLOADED),
    "anthropic overloaded within a stream": (200, anthropic("overloaded_error"), F.OVERLOADED),
    "anthropic rate limit": (
        429,
        anthropic("rate_limit_error", "would exceed your organization's rate limit"),
        F.RATE_LIMITED,
    ),
    "anthropic server error": (500, anthropic("api_error", "Internal server error"), F.ERROR),
    "anthropic server error within a stream": (200, anthropic("api_error"), F.ERROR),
    "anthropic timeout": (504, anthropic("timeout_error"), F.TIMEOUT),
    "anthropic key": (401, anthropic("authentication_error", "invalid x-api-key"), F.AUTH),
    "anthropic permission": (403, anthropic("permission_error"), F.AUTH),
    "anthropic billing": (402, anthropic("billing_error"), F.QUOTA),
    "anthropic credit": (
        400,
        anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        F.QUOTA,
    ),
    "anthropic spend limit": (
        400,
        anthropic(
            "invalid_request_error", "You have reached your specified API usage limits. You will regain access on"
        ),
        F.QUOTA,
    ),
    "anthropic prompt": (
        400,
        anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        F.CONTEXT_LENGTH,
    ),
    "anthropic prompt and answer": (
        400,
        anthropic(
            "invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
        ),
        F.CONTEXT_LENGTH,
    ),
    "anthropic filter": (
        400,
        anthropic("invalid_request_error", "Output blocked by content filtering policy"),
        F.CONTENT_POLICY,
    ),
    "anthropic bad request": (400, anthropic("invalid_request_error", "max_tokens: Field required"), F.BAD_REQUEST),
    "anthropic model": (404, anthropic("not_found_error", "model: claude-nope"), F.NOT_FOUND),
    "anthropic body too large": (413, anthropic("request_too_large"), F.BAD_REQUEST),
    # OpenAI and those who speak like it
    "openai quota": (
        429,
        openai("insufficient_quota", "You exceeded your current quota", "insufficient_quota"),
        F.QUOTA,
    ),
    "openai rate limit": (
        429,
        openai("rate_limit_exceeded", "Rate limit reached for gpt-5", "requests"),
        F.RATE_LIMITED,
    ),
    "openai context": (
        400,
        openai("context_length_exceeded", "maximum context length is 8192 tokens"),
        F.CONTEXT_LENGTH,
    ),
    "openai text too long": (400, openai("string_above_max_length", "string too long"), F.CONTEXT_LENGTH),
    "openai policy": (
        400,
        openai("content_policy_violation", "rejected as a result of our safety system"),
        F.CONTENT_POLICY,
    ),
    "openai flagged prompt": (
        400,
        openai("invalid_prompt", "flagged as potentially violating our usage policy"),
        F.CONTENT_POLICY,
    ),
    "openai key": (401, openai("invalid_api_key", "Incorrect API key provided: sk-x"), F.AUTH),
    "openai model": (404, openai("model_not_found", "The model `x` does not exist"), F.NOT_FOUND),
    "openai model refused": (403, openai("model_not_found", "Project does not have access"), F.NOT_FOUND),
    "openai slow down": (503, openai("slow_down", "", "server_error"), F.OVERLOADED),
    "openai server error": (500, openai(None, "The server had an error", "server_error"), F.ERROR),
    "openai bad request": (400, openai("unsupported_parameter", "Unsupported parameter: 'max_tokens'"), F.BAD_REQUEST),
    "openai failed response within a stream": (
        200,
        {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "…"}}},
        F.RATE_LIMITED,
    ),
    "openai error event": (200, {"type": "error", "code": "server_error", "message": "…", "param": None}, F.ERROR),
    "azure filter": (
        400,
        {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        F.CONTENT_POLICY,
    ),
    "azure filter, inner code alone": (
        400,
        {"error": {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        F.CONTENT_POLICY,
    ),
    "azure limit": (
        429,
        {"error": {"code": "429", "message": "Requests have exceeded the token rate limit"}},
        F.RATE_LIMITED,
    ),
    "azure deployment": (404, {"error": {"code": "DeploymentNotFound"}}, F.NOT_FOUND),
    "vllm context": (400, openai(400, "This model's maximum context length is 4096 tokens."), F.CONTEXT_LENGTH),
    "llama.cpp context": (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
            }
        },
        F.CONTEXT_LENGTH,
    ),
    "ollama": (404, {"error": "model 'x' not found"}, F.NOT_FOUND),
    "openrouter moderation": (
        403,
        {"error": {"code": 403, "message": "x requires moderation; your input was flagged"}},
        F.CONTENT_POLICY,
    ),
    "openrouter credits": (402, {"error": {"code": 402, "message": "Insufficient credits"}}, F.QUOTA),
    "bedrock context": (400, {"message": "Input is too long for requested model."}, F.CONTEXT_LENGTH),
    # Gemini
    "gemini rate limit": (429, gemini(429, "RESOURCE_EXHAUSTED", "", reason("RATE_LIMIT_EXCEEDED")), F.RATE_LIMITED),
    "gemini day's quota": (
        429,
        gemini(429, "RESOURCE_EXHAUSTED", "", quota("GenerateRequestsPerDayPerProject")),
        F.QUOTA,
    ),
    "gemini day's quota that says when": (
        429,
        gemini(429, "RESOURCE_EXHAUSTED", "", quota("RequestsPerDay-FreeTier"), delay("36s")),
        F.RATE_LIMITED,
    ),
    "gemini overloaded": (503, gemini(503, "UNAVAILABLE", "The model is overloaded."), F.OVERLOADED),
    "gemini context": (
        400,
        gemini(400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed"),
        F.CONTEXT_LENGTH,
    ),
    "gemini key": (400, gemini(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), F.AUTH),
    "gemini permission": (403, gemini(403, "PERMISSION_DENIED"), F.AUTH),
    "gemini deadline": (504, gemini(504, "DEADLINE_EXCEEDED"), F.TIMEOUT),
    "gemini in a list": (429, [gemini(429, "RESOURCE_EXHAUSTED")], F.RATE_LIMITED),
    # no words at all
    "cloudflare": (524, "<html>A timeout occurred</html>", F.TIMEOUT),
    "cloudflare down": (521, "", F.UNREACHABLE),
    "gateway": (502, "<html>Bad gateway</html>", F.ERROR),
    "redirect": (307, "", F.ERROR),
    "teapot": (418, "", F.BAD_REQUEST),
    "request timeout": (408, "", F.TIMEOUT),
    "plain 429": (429, "", F.RATE_LIMITED),
    "plain 503": (503, "upstream connect error", F.OVERLOADED),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_an_answer_means(name: str):
    status, body, expected = ANSWERS[name]
    text = body if isinstance(body, str) else json.dumps(body)
    assert classify(status, {}, text.encode(), now=0).kind is expected


def test_a_sentence_of_the_caller_s_in_a_server_error_changes_nothing():
    assert classify(500, {}, b'{"error": {"message": "prompt is too long"}}', now=0).kind is F.ERROR


def test_words_win_over_sentences():
    body = json.dumps(openai("invalid_api_key", "prompt is too long")).encode()
    assert classify(401, {}, body, now=0).kind is F.AUTH


@pytest.mark.parametrize(
    ("span", "expected"), [("34s", 34), ("0.5s", 0.5), ("34.074824224s", 34.074824224), ("soon", None), (34, None)]
)
def test_gemini_says_in_the_body_when_to_come_again(span: object, expected: float | None):
    body = json.dumps(gemini(429, "RESOURCE_EXHAUSTED", "", {"@type": "x"}, delay(span))).encode()
    assert classify(429, {}, body, now=0).retry_after_s == expected
    assert classify(429, {"retry-after": "1"}, body, now=0).retry_after_s == 1


def test_the_code_is_the_provider_s_most_telling_word():
    assert (
        classify(400, {}, json.dumps(openai("context_length_exceeded")).encode(), now=0).code
        == "context_length_exceeded"
    )
    assert classify(529, {}, json.dumps(anthropic("overloaded_error")).encode(), now=0).code == "overloaded_error"
    assert classify(503, {}, json.dumps(gemini(503, "UNAVAILABLE")).encode(), now=0).code == "unavailable"
    assert classify(400, {"x-amzn-errortype": "ThrottlingException:http://x"}, b"", now=0).code == "throttlingexception"
    assert classify(500, {}, b"", now=0).code == ""


def test_a_code_that_could_be_a_secret_is_not_kept():
    body = json.dumps(openai("a1" * 20)).encode()
    assert classify(400, {}, body, now=0).code == "other"


@pytest.mark.parametrize(("said", "expected"), [("true", True), ("False", False), ("", None), ("perhaps", None)])
def test_the_provider_says_whether_the_same_call_may_be_made_again(said: str, expected: bool | None):  # noqa: FBT001
    assert classify(409, {"x-should-retry": said}, b"", now=0).should_retry is expected


def test_a_call_that_can_never_fit_is_not_made_again():
    body = json.dumps(openai("rate_limit_exceeded", "Request too large for gpt-5 on tokens per min (TPM)")).encode()
    failure = classify(429, {}, body, now=0)
    assert (failure.kind, failure.repeatable) == (F.RATE_LIMITED, False)


def test_a_body_that_is_too_long_is_not_read():
    body = json.dumps(anthropic("overloaded_error", "x" * MAX_ERROR_BYTES)).encode()
    assert classify(400, {}, body, now=0).kind is F.BAD_REQUEST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "type",
                    "code",
                    "status",
                    "message",
                    "details",
                    "reason",
                    "retryDelay",
                    "violations",
                    "innererror",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.integers(200, 599), JSON | st.binary(max_size=60), st.dictionaries(st.text(max_size=10), st.text(max_size=10))
)
def test_no_answer_cannot_be_read(status: int, body: object, headers: dict[str, str]):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = classify(status, headers, raw, now=0)
    assert failure.retry_after_s is None or failure.retry_after_s >= 0


def test_deep_nesting_is_no_error_object():
    assert classify(500, {}, b"[" * 60_000, now=0).kind is F.ERROR


def test_every_class_says_what_may_follow():
    assert set(HANDLING) == set(F)


@pytest.mark.parametrize("kind", [F.BAD_REQUEST, F.INTERNAL])
def test_what_is_the_caller_s_own_is_followed_by_nothing(kind: FailureClass):
    handling = HANDLING[kind]
    assert not any((handling.same, handling.other, handling.peers, handling.list))


@pytest.mark.parametrize("kind", [F.QUOTA, F.AUTH])
def test_a_useless_credential_is_never_asked_again_but_others_are(kind: FailureClass):
    handling = HANDLING[kind]
    assert (handling.same, handling.other, handling.blame) == (False, True, Blame.CREDENTIAL)


@pytest.mark.parametrize("kind", [F.CONTEXT_LENGTH, F.CONTENT_POLICY])
def test_what_the_same_model_refuses_goes_to_the_list_alone(kind: FailureClass):
    handling = HANDLING[kind]
    assert (handling.same, handling.other, handling.peers, handling.list) == (False, False, False, kind)
    assert handling.blame is Blame.NONE


def test_the_proxy_s_own_faults_are_known():
    assert failure_of_fault("first_byte_timeout").kind is F.TIMEOUT
    assert failure_of_fault("provider_unreachable").kind is F.UNREACHABLE
    assert failure_of_fault("proxy_error").kind is F.INTERNAL
    assert F.INTERNAL not in FAULTS.values()
