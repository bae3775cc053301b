"""The requests of an OpenAI batch: read from its input file, and each answered by its endpoint."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import orjson

from data.model import Tokens
from proxy.simulated import embeddings
from proxy.simulated.dialect import BadAsk, Dialect
from proxy.simulated.openai_chat import OpenAIChat
from proxy.simulated.openai_responses import OpenAIResponses
from proxy.simulated.provider import Call, Provider, ask_of
from proxy.simulated.steering import Steering


class Answered(NamedTuple):
    """What came of one request."""

    status: int
    body: Any
    tokens: Tokens = Tokens()


def read_input(content: bytes, endpoint: str) -> tuple[list[dict[str, Any]], str]:
    """Return the requests of an input file, and what is wrong with it; '' for nothing."""
    requests, names = [], set[str]()
    for number, line in enumerate(filter(bytes.strip, content.splitlines()), 1):
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError:
            request = None
        if fault := _fault(request, endpoint, names):
            return [], f"Line {number}: {fault}"
        names.add(request["custom_id"])
        requests.append(request)
    return requests, "" if requests else "The input file is empty."


def answered(provider: Provider, call: Call, steered: Steering, endpoint: str) -> Answered:
    """Answer one request; what is not valid is refused."""
    try:
        return ENDPOINTS[endpoint](provider, call, steered)
    except BadAsk as error:
        return refused(call, str(error))


def refused(call: Call, why: str = "") -> Answered:
    """Refuse one request."""
    return Answered(400, orjson.loads(call.dialect.error(400, call.request_id, why)))


def _fault(request: Any, endpoint: str, names: set[str]) -> str:
    if not isinstance(request, dict) or not isinstance(request.get("body"), dict):
        return "this is no request: it must be a JSON object with a body."
    custom_id = request.get("custom_id")
    if not isinstance(custom_id, str) or not custom_id or custom_id in names:
        return "custom_id must be a text that no other request has."
    if (request.get("method"), request.get("url")) != ("POST", endpoint):
        return f"method and url must be POST and the batch's endpoint {endpoint}."
    return ""


def _worded(dialect: Dialect) -> Callable[[Provider, Call, Steering], Answered]:
    def answer(provider: Provider, call: Call, steered: Steering) -> Answered:
        call = replace(call, dialect=dialect, endpoint=dialect.endpoint)
        ask = replace(ask_of(dialect, call.json()), stream=False, tier="default")  # it is told nowhere to be a batch's
        composed = provider.composed(call, ask, steered)
        return Answered(200, orjson.loads(dialect.whole(composed)), composed.tokens)

    return answer


def _embedded(_provider: Provider, call: Call, steered: Steering) -> Answered:
    work = embeddings.openai(call, steered)
    return Answered(200, work.document, work.tokens)


#: What a batch may ask.
ENDPOINTS: Final[Mapping[str, Callable[[Provider, Call, Steering], Answered]]] = {
    "/v1/chat/completions": _worded(OpenAIChat()),
    "/v1/responses": _worded(OpenAIResponses()),
    "/v1/embeddings": _embedded,
}
