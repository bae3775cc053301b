"""Errors of our own, in the shape that the client's SDK expects of its provider."""

import msgspec
from aiohttp import web

from data.model import Protocol
from data.problem import MEDIA_TYPE, problem_document
from proxy.admission.gate import Refused

#: Who refuses, as errors in Google's shape say it.
_DOMAIN = "claude-proxy"
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_exceeded",
    503: "service_unavailable",
}
#: Statuses of the client's errors after which the same call may succeed.
_PASSING = frozenset({408, 429})
#: google.rpc.Code, by the HTTP status that it is mapped to.
_GEMINI_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(protocol: Protocol, status: int, message: str, code: str = "") -> bytes:
    """Return the JSON error object of `protocol`. `code` says machines which refusal it is."""
    if protocol is Protocol.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
    if protocol is Protocol.GEMINI:
        return msgspec.json.encode({"error": _gemini_error(status, message, code)})
    kind = _OPENAI_TYPES.get(status, "server_error")
    error = {"message": message, "type": kind, "param": None, "code": code or None}
    return msgspec.json.encode({"error": error})


def _gemini_error(status: int, message: str, code: str) -> dict[str, object]:
    error: dict[str, object] = {"code": status, "message": message, "status": _GEMINI_STATUSES.get(status, "INTERNAL")}
    if code:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper(), "domain": _DOMAIN}
        error["details"] = [reason]
    return error


def refusal(
    protocol: Protocol, status: int, message: str, *, code: str = "", retry_after_s: int | None = None
) -> web.Response:
    """Return an error answer of the proxy itself; the header `x-claude-proxy-error` tells it from a provider's."""
    headers = {"x-claude-proxy-error": code or "refused"}
    if 400 <= status < 500 and status not in _PASSING:
        headers["x-should-retry"] = "false"  # Claude Code asks again and again for minutes where nobody says so
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    body = error_body(protocol, status, message, code)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def refused(protocol: Protocol, why: Refused) -> web.Response:
    """Return the answer to a call that is not admitted."""
    answer = refusal(protocol, why.status, why.message, code=why.code)
    answer.headers.update(why.headers)
    return answer


def problem(status: int, title: str, detail: str) -> web.Response:
    """Return an error of the API: an RFC 9457 problem document."""
    document = problem_document(status, title, detail)
    return web.Response(status=status, body=msgspec.json.encode(document), content_type=MEDIA_TYPE)
