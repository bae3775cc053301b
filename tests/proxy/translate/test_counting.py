"""Estimates of a request's tokens."""

import json
from typing import Any

import pytest

from proxy.translate import estimate_input_tokens

TEXT = "The quick brown fox jumps over the lazy dog. " * 100  # about 1,000 tokens for every tokenizer


def estimate(**request: Any) -> int:
    return estimate_input_tokens(json.dumps(request).encode())


def ask(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("request_", "low", "high"),
    [
        (ask(TEXT), 900, 1_200),
        (ask([{"type": "text", "text": TEXT}]), 900, 1_200),
        (ask(TEXT) | {"system": [{"type": "text", "text": TEXT}]}, 1_800, 2_400),
        (ask([{"type": "tool_result", "tool_use_id": "t", "content": TEXT}]), 900, 1_200),
        (ask([{"type": "tool_use", "id": "t", "name": "f", "input": {"a": TEXT}}]), 900, 1_200),
        (ask([{"type": "new", "text": TEXT}]), 900, 1_200),
        (ask("") | {"tools": [{"name": "f", "description": TEXT, "input_schema": {}}]}, 900, 1_300),
        (ask([{"type": "image", "source": {"type": "base64", "data": "A" * 900_000}}]), 1_500, 1_700),
        (ask([{"type": "document", "source": {"type": "base64", "data": "A" * 400_000}}]), 4_000, 9_000),
        (ask([{"type": "document", "source": {"type": "text", "data": TEXT}}]), 900, 1_200),
    ],
)
def test_an_estimate_is_near(request_: dict[str, Any], low: int, high: int):
    assert low <= estimate(**request_) <= high


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"messages":5,"system":{},"tools":"x"}',
        b'{"messages":[null,{"content":[5,{"type":[]}]}]}',
    ],
)
def test_whatever_the_body_is_there_is_an_estimate(body: bytes):
    assert estimate_input_tokens(body) >= 1
