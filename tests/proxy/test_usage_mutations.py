"""Answers with single values and bytes replaced by what nobody expects."""

import random
import re

import pytest

from data.model import Endpoint
from tests.proxy import test_usage_anthropic, test_usage_gemini, test_usage_openai_chat, test_usage_openai_responses
from tests.proxy.sse_samples import read

SAMPLES = {
    Endpoint.MESSAGES: test_usage_anthropic.STREAMS,
    Endpoint.CHAT_COMPLETIONS: test_usage_openai_chat.STREAMS,
    Endpoint.RESPONSES: test_usage_openai_responses.STREAMS,
    Endpoint.GENERATE_CONTENT: test_usage_gemini.STREAMS,
    Endpoint.EMBEDDINGS: test_usage_openai_chat.STREAMS,
    Endpoint.OTHER: test_usage_gemini.STREAMS,
}
VALUE = re.compile(rb'null|\d+|"[^"]*"')
ODD = [b"null", b"[]", b"{}", b"-1", b'"\\ud800"', b"1e999", b"true", b"9" * 5000, b"[" * 2000 + b"]" * 2000, b'"\xff"']


def with_an_odd_value(body: bytes, draw: random.Random) -> bytes:
    places = list(VALUE.finditer(body))
    if not places:
        return body
    place = draw.choice(places)
    return body[: place.start()] + draw.choice(ODD) + body[place.end() :]


def with_an_odd_byte(body: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(body) + 1)
    return body[:place] + draw.randbytes(1) + body[place + 1 :]


@pytest.mark.parametrize("endpoint", SAMPLES)
@pytest.mark.parametrize("change", [with_an_odd_value, with_an_odd_byte])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
def test_no_parser_fails_on_an_odd_answer(endpoint, change, stream, caplog):
    draw = random.Random(5)
    for case in SAMPLES[endpoint].values():
        body = case.stream if stream else b"".join(re.findall(rb"data: (.*)\n", case.stream)[-1:])
        for _ in range(20):
            odd = change(change(body, draw), draw)
            usage = read(endpoint, odd, stream=stream)
            assert min(usage.tokens.output, usage.tokens.uncached_input, usage.tokens.reasoning) >= 0
            assert (usage.raw + usage.model + usage.error_message).encode() is not None
    # a fault inside a parser is caught at its edge and logged: there must be none
    assert [told for told in caplog.records if told.name.startswith("proxy.")] == []
