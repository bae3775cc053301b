"""What both OpenAI protocols share: the shape of errors, and the headers."""

import orjson

from proxy.simulated.dialect import RateLimit, Trouble

_ERRORS = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not allowed."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    413: ("invalid_request_error", None, "The request is too large."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}

_TROUBLES = {
    Trouble.CONTEXT_LENGTH: (
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 210000 tokens.",
    ),
    Trouble.CONTENT_POLICY: (
        "content_policy_violation",
        "Your request was rejected as a result of our safety system.",
    ),
}


def trouble_body(trouble: Trouble) -> bytes:
    """The body of the error that says so; its status is 400."""
    code, message = _TROUBLES[trouble]
    return _body("invalid_request_error", code, message)


def error_body(status: int, why: str = "") -> bytes:
    """An error body in OpenAI's shape."""
    kind, code, message = _ERRORS.get(status, ("server_error", None, "The server had an error. Sorry about that!"))
    return _body(kind, code, why or message)


def _body(kind: str, code: str | None, message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def ratelimit_headers(request_id: str, ratelimit: RateLimit) -> dict[str, str]:
    """x-request-id and the rate limits; reset times are spans such as 12.5s."""
    spent = ratelimit.input_tokens + ratelimit.output_tokens
    reset = f"{ratelimit.resets_in_s:.3f}s"
    return {
        "x-request-id": request_id,
        "openai-organization": "simulated",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "4000000",
        "x-ratelimit-remaining-requests": str(max(0, 10_000 - ratelimit.requests)),
        "x-ratelimit-remaining-tokens": str(max(0, 4_000_000 - spent)),
        "x-ratelimit-reset-requests": reset,
        "x-ratelimit-reset-tokens": reset,
    }
