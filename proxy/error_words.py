"""The words, sentences and statuses by which providers say what failed; the more telling come first.

Where they are from: Anthropic "Errors", OpenAI "Error codes", Gemini "Troubleshooting" and google.rpc.Code, Azure's
content filter, Bedrock's exceptions, Cloudflare's statuses, and the answers of vLLM and llama.cpp.
"""

import re
from collections.abc import Mapping
from typing import Final

from proxy.failure import FailureClass

#: Values of `error.code`, `error.status`, `error.type` and the like, in lower case. One error may carry several.
WORDS: Final[Mapping[FailureClass, frozenset[str]]] = {
    FailureClass.QUOTA: frozenset(
        {
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_error",
            "quota_exceeded",
        }
    ),
    FailureClass.CONTEXT_LENGTH: frozenset(
        {"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"}
    ),
    FailureClass.CONTENT_POLICY: frozenset(
        {
            "content_policy_violation",
            "content_filter",
            "responsibleaipolicyviolation",
            "invalid_prompt",
            "moderation_blocked",
        }
    ),
    FailureClass.AUTH: frozenset(
        {
            "authentication_error",
            "permission_error",
            "invalid_api_key",
            "account_deactivated",
            "unauthenticated",
            "permission_denied",
            "api_key_invalid",
            "api_key_service_blocked",
        }
    ),
    FailureClass.OVERLOADED: frozenset(
        {"overloaded_error", "overloaded", "engine_overloaded", "slow_down", "unavailable"}
    ),
    FailureClass.RATE_LIMITED: frozenset(
        {
            "rate_limit_error",
            "rate_limit_exceeded",
            "resource_exhausted",
            "throttlingexception",
            "too_many_requests",
        }
    ),
    FailureClass.TIMEOUT: frozenset({"timeout_error", "timeout", "deadline_exceeded"}),
    FailureClass.NOT_FOUND: frozenset({"model_not_found", "deploymentnotfound"}),
}


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


#: What messages say where the words beside them say no more than that the request is not valid.
PHRASES: Final[Mapping[FailureClass, re.Pattern[str]]] = {
    FailureClass.QUOTA: _any_of(
        r"credit balance is too low",
        r"reached your specified api usage limits",
        r"insufficient (?:credits|balance|funds)",
    ),
    FailureClass.CONTEXT_LENGTH: _any_of(
        r"prompt is too long",
        r"input is too long",
        r"maximum (?:context|prompt) length",
        r"`inputs` tokens \+",
        r"input token count .{0,40}exceeds",
        r"exceed(?:s|ed)? (?:the )?(?:available |model'?s )?context (?:limit|length|size|window)",
    ),
    FailureClass.CONTENT_POLICY: _any_of(
        r"content (?:filter|management policy|policy)",
        r"violat\w+ (?:our |the )?(?:usage|content) (?:polic|guideline)",
        r"input was flagged",
        r"rejected .{0,40}safety system",
    ),
    FailureClass.AUTH: _any_of(r"api key (?:not valid|expired)", r"invalid api key", r"organization has been disabled"),
}

#: What a status means where nothing else is said.
STATUSES: Final[Mapping[int, FailureClass]] = {
    401: FailureClass.AUTH,
    402: FailureClass.QUOTA,
    403: FailureClass.AUTH,
    404: FailureClass.NOT_FOUND,
    408: FailureClass.TIMEOUT,
    429: FailureClass.RATE_LIMITED,
    503: FailureClass.OVERLOADED,
    504: FailureClass.TIMEOUT,
    521: FailureClass.UNREACHABLE,
    522: FailureClass.UNREACHABLE,
    523: FailureClass.UNREACHABLE,
    524: FailureClass.TIMEOUT,
    529: FailureClass.OVERLOADED,
}

#: How OpenAI begins to refuse a call that is larger than the limit of a minute: waiting does not help.
NEVER_FITS: Final = "request too large for"
