"""Embeddings as OpenAI and Google answer them: vectors without meaning, counts that are right."""

import base64
import struct
from collections.abc import Iterator
from random import Random
from typing import Any
from zlib import crc32

from data.model import Tokens
from proxy.simulated import words
from proxy.simulated.dialect import BadAsk, Body, listed, model_of, positive, text_of
from proxy.simulated.provider import Call, Work
from proxy.simulated.steering import Steering

_DIMENSIONS = 64


def openai(call: Call, steered: Steering) -> Work:
    """POST /v1/embeddings. Raises BadAsk."""
    body = call.json()
    model, inputs = model_of(body), list(_inputs(body))
    size = positive(body, "dimensions") or _DIMENSIONS
    coded = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(content, size, coded=coded)}
        for index, (content, _) in enumerate(inputs)
    ]
    counted = _counted(steered, sum(tokens for _, tokens in inputs))
    usage = {"prompt_tokens": counted, "total_tokens": counted}
    document = {"object": "list", "data": data, "model": steered.words.get("model") or model, "usage": usage}
    return Work(document, model, Tokens(uncached_input=counted))


def gemini(call: Call, steered: Steering, model: str, *, batch: bool) -> Work:
    """POST …:embedContent, or :batchEmbedContents. Raises BadAsk."""
    body = call.json()
    asked = listed(body, "requests") if batch else [body]
    contents = [_text(each.get("content")) for each in asked if isinstance(each, dict)]
    if not contents:
        raise BadAsk("* EmbedContentRequest.content: contents is not specified")
    vectors = [{"values": _vector(content, _DIMENSIONS)} for content in contents]
    counted = _counted(steered, sum(words.count(content) for content in contents))
    told = {"promptTokenCount": counted, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": counted}]}
    vector: dict[str, Any] = {"embeddings": vectors} if batch else {"embedding": vectors[0]}
    return Work({**vector, "usageMetadata": told}, model, Tokens(uncached_input=counted))


def _text(content: Any) -> bytes:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise BadAsk("* EmbedContentRequest.content: contents is not specified")
    return b"".join(text_of(part.get("text", part)) for part in parts)


def _inputs(body: Body) -> Iterator[tuple[bytes, int]]:
    """Each text, or list of tokens, with its number of tokens. Raises BadAsk."""
    asked = body.get("input")
    if not asked:
        raise BadAsk("Missing required parameter: 'input'.")
    many = asked if isinstance(asked, list) and not isinstance(asked[0], int) else [asked]
    for each in many:
        content = text_of(each)
        yield content, len(each) if isinstance(each, list) else words.count(content)


def _counted(steered: Steering, natural: int) -> int:
    given = steered.count("input")
    return natural if given is None else given


def _vector(content: bytes, size: int, *, coded: bool = False) -> list[float] | str:
    random = Random(crc32(content))  # noqa: S311 - numbers to look at, no secret
    values = [round(random.uniform(-1, 1), 6) for _ in range(size)]
    return base64.b64encode(struct.pack(f"<{size}f", *values)).decode() if coded else values
