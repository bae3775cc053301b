"""Gemini's generateContent as Google answers it: whole, as server-sent events, or as one JSON array."""

from collections.abc import Iterator
from typing import Any

import orjson

from data.model import Endpoint
from proxy.simulated import words
from proxy.simulated.answer import Answer, Ask, Stop, ToolSpec
from proxy.simulated.cache import Segment
from proxy.simulated.dialect import SSE, BadAsk, Body, RateLimit, Trouble, listed, positive, sse, text_of
from proxy.simulated.exchange import Event

_STOPS = {Stop.END: "STOP", Stop.TOOL: "STOP", Stop.LENGTH: "MAX_TOKENS"}
_IMAGE_TOKENS = 258
_STATUSES = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
    403: ("PERMISSION_DENIED", "The caller does not have permission."),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request did not finish in time."),
}
_TROUBLES = {
    Trouble.CONTEXT_LENGTH: "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    Trouble.CONTENT_POLICY: "The request was blocked because of its content: PROHIBITED_CONTENT.",
}


class GeminiContent:
    """POST /v1beta/models/{model}:generateContent and :streamGenerateContent; the path says model and form."""

    endpoint = Endpoint.GENERATE_CONTENT
    overloaded = 503

    def __init__(self, model: str, *, stream: bool = False, events: bool = True) -> None:
        """`events`: a stream comes as server-sent events, not as an array."""
        self._model = model
        self._stream = stream
        self._events = events
        self.stream_type = SSE if events else "application/json; charset=UTF-8"

    def read(self, body: Body) -> Ask:
        """Read a generateContent request. Raises BadAsk."""
        contents = listed(body, "contents")
        if not contents:
            raise BadAsk("* GenerateContentRequest.contents: contents is not specified")
        config = body.get("generationConfig") or {}
        thinking = config.get("thinkingConfig") or {}
        declared = [each for tool in listed(body, "tools") for each in tool.get("functionDeclarations", ())]
        mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
        return Ask(
            model=self._model,
            stream=self._stream,
            segments=tuple(_segments(body, contents)),
            max_tokens=positive(config, "maxOutputTokens"),
            thinking=bool(thinking.get("includeThoughts")),
            tools=tuple(ToolSpec(t["name"], _schema(t)) for t in declared if "name" in t),
            must_call=mode == "ANY",
            answers_tool=any("functionResponse" in part for part in contents[-1].get("parts", ())),
        )

    def whole(self, answer: Answer) -> bytes:
        """A GenerateContentResponse."""
        return orjson.dumps(_piece(answer, _parts(answer), answer.tokens.output, stop=_STOPS[answer.stop]))

    def events(self, answer: Answer) -> list[Event]:
        """Pieces with the counts so far, the last one with the reason to stop."""
        said = [[part] for part in _streamed_parts(answer)] or [[{"text": ""}]]
        pieces = [
            _piece(answer, parts, answer.tokens.output * number // len(said))
            for number, parts in enumerate(said[:-1], 1)
        ]
        pieces.append(_piece(answer, said[-1], answer.tokens.output, stop=_STOPS[answer.stop]))
        if self._events:
            return [Event(sse(piece), paced=True) for piece in pieces]
        opened = [
            Event((b",\r\n" if number else b"[") + orjson.dumps(piece) + b"\n", paced=True)
            for number, piece in enumerate(pieces)
        ]
        return [*opened, Event(b"]\n")]

    def error(self, status: int, _request_id: str, /, why: str = "") -> bytes:
        """An error body in Google's shape."""
        return orjson.dumps({"error": _error(status, why)})

    def trouble(self, trouble: Trouble, _request_id: str, /) -> tuple[int, bytes]:
        """What Google says of such a request."""
        return 400, orjson.dumps({"error": _error(400, _TROUBLES[trouble])})

    def error_event(self) -> bytes:
        """An error in the place of a piece."""
        return self._as_event({"error": _error(503)}, last=True)

    def unknown_event(self) -> bytes:
        """A piece that does not exist yet."""
        return self._as_event({"weatherReport": {"outlook": "sunny"}})

    def headers(self, request_id: str, _ratelimit: RateLimit) -> dict[str, str]:
        """Google tells no limits; the request id is for the tests."""
        return {"x-request-id": request_id, "server-timing": "gfet4t7; dur=1"}

    def _as_event(self, piece: dict[str, Any], *, last: bool = False) -> bytes:
        if self._events:
            return sse(piece)
        return b",\r\n" + orjson.dumps(piece) + (b"\n]\n" if last else b"\n")


def _error(status: int, why: str = "") -> dict[str, Any]:
    name, message = _STATUSES.get(status, ("INTERNAL", "An internal error has occurred."))
    return {"code": status, "message": why or message, "status": name}


def _schema(declaration: dict[str, Any]) -> dict[str, Any]:
    return _lowered(declaration.get("parameters") or declaration.get("parametersJsonSchema") or {})


def _lowered(schema: dict[str, Any]) -> dict[str, Any]:
    """Google writes the types of a schema in capitals."""
    kind = schema.get("type")
    lowered = {**schema, "type": kind.lower()} if isinstance(kind, str) else schema
    inner = schema.get("properties")
    return {**lowered, "properties": {n: _lowered(s) for n, s in inner.items()}} if isinstance(inner, dict) else lowered


def _segments(body: Body, contents: list[Any]) -> Iterator[Segment]:
    for tool in listed(body, "tools"):
        content = text_of(tool)
        yield Segment(content, words.count(content))
    for message in [body.get("systemInstruction") or {}, *contents]:
        if not isinstance(message, dict):
            raise BadAsk("* GenerateContentRequest.contents: each must be a Content")
        for part in message.get("parts", ()):
            content = text_of(part.get("text", part))
            yield Segment(content, _IMAGE_TOKENS if "inlineData" in part else words.count(content))


def _parts(answer: Answer) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": answer.thinking, "thought": True}] if answer.thinking else []
    if answer.tool:
        parts.append({"functionCall": {"name": answer.tool.name, "args": answer.tool.arguments}})
    else:
        parts.append({"text": answer.text})
    return parts


def _streamed_parts(answer: Answer) -> Iterator[dict[str, Any]]:
    for part in _parts(answer):
        if part.get("text") and not part.get("thought"):
            yield from ({"text": piece} for piece in answer.pieces())
        else:
            yield part


def _piece(answer: Answer, parts: list[dict[str, Any]], output: int, stop: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if stop:
        candidate["finishReason"] = stop
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(answer, output),
        "modelVersion": answer.model,
        "responseId": answer.id[:22],
    }


def _usage(answer: Answer, output: int) -> dict[str, Any]:
    """Google's prompt includes what the cache gave; thoughts come on top of what was said."""
    counts = answer.tokens
    thoughts = min(counts.reasoning, output)
    usage: dict[str, Any] = {
        "promptTokenCount": counts.input,
        "candidatesTokenCount": output - thoughts,
        "totalTokenCount": counts.input + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.input}],
    }
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    if counts.cache_read:
        usage["cachedContentTokenCount"] = counts.cache_read
    return usage
