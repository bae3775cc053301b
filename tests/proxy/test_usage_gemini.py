import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from data.model import Endpoint, Tokens
from proxy.usage import Billing, parser_for
from tests.proxy.sse_samples import events, read, read_at_every_cut

NONSENSE = [-3, 1.5, "12", 10**30, True, [], {}, None]


def chunk(
    text: str | None = None, finish: str = "", usage: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if text is not None:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if finish:
        candidate["finishReason"] = finish
    told = {} if usage is None else {"usageMetadata": usage}
    return {"candidates": [candidate], **told, "modelVersion": "gemini-2.5-pro", "responseId": "r1", **more}


def counts(prompt: Any = 100, said: Any = 20, **more: Any) -> dict[str, Any]:
    return {"promptTokenCount": prompt, "candidatesTokenCount": said, **more}


def audio(count: int, modality: str = "AUDIO") -> list[dict[str, Any]]:
    return [{"modality": "TEXT", "tokenCount": 3}, {"modality": modality, "tokenCount": count}]


@dataclass(frozen=True)
class Case:
    pieces: tuple[dict[str, Any] | str, ...]
    tokens: Tokens
    complete: bool = True
    says: dict[str, Any] = field(default_factory=dict)

    @property
    def stream(self) -> bytes:
        return events(*self.pieces)


STOP = chunk("", "STOP", counts())
STREAMS = {
    "counts so far are not summed": Case(
        (chunk("a", usage=counts(100, 1)), chunk("b", usage=counts(100, 2)), chunk("c", "STOP", counts(100, 3))),
        Tokens(uncached_input=100, output=3),
        says={"model": "gemini-2.5-pro", "response_id": "r1", "stop_reason": "STOP", "note": ""},
    ),
    "the cache is part of the prompt, thoughts and tools come on top": Case(
        (chunk("a", "STOP", counts(cachedContentTokenCount=64, thoughtsTokenCount=30, toolUsePromptTokenCount=7)),),
        Tokens(uncached_input=43, cache_read=64, output=50, reasoning=30),
    ),
    "what is told once stays": Case(
        (chunk("a", usage=counts(cachedContentTokenCount=64)), chunk("", "STOP", counts(said=21))),
        Tokens(uncached_input=36, cache_read=64, output=21),
    ),
    "nothing but thoughts": Case(
        (chunk(None, "MAX_TOKENS", {"promptTokenCount": 9, "thoughtsTokenCount": 60, "totalTokenCount": 69}),),
        Tokens(uncached_input=9, output=60, reasoning=60),
        says={"stop_reason": "MAX_TOKENS"},
    ),
    "what was said follows from the total": Case(
        (chunk("a", "STOP", {"promptTokenCount": 9, "thoughtsTokenCount": 60, "totalTokenCount": 75}),),
        Tokens(uncached_input=9, output=66, reasoning=60),
    ),
    "a total that has the thoughts within what was said": Case(
        (chunk("a", "STOP", counts(9, 66, thoughtsTokenCount=60, totalTokenCount=75)),),
        Tokens(uncached_input=9, output=66, reasoning=60),
    ),
    "a prompt that is blocked costs its tokens": Case(
        ({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 8}},),
        Tokens(uncached_input=8),
        says={"stop_reason": "SAFETY"},
    ),
    "the counts come after the end": Case(
        (chunk("a", "STOP"), {"usageMetadata": counts()}), Tokens(uncached_input=100, output=20)
    ),
    "the tier of Google's cloud": Case(
        (chunk("a", "STOP", counts(trafficType="ON_DEMAND_PRIORITY")),),
        Tokens(uncached_input=100, output=20),
        says={"service_tier": "priority"},
    ),
    "sound has its own price": Case(
        (chunk("a", "STOP", counts(promptTokensDetails=audio(60))),),
        Tokens(uncached_input=100, output=20),
        says={"billing": Billing.PARTLY, "note": "60 audio, image or video tokens are priced as text"},
    ),
    "a picture that was shown costs what text does, one that was made does not": Case(
        (
            chunk(
                "a", "STOP", counts(promptTokensDetails=audio(60, "IMAGE"), candidatesTokensDetails=audio(9, "IMAGE"))
            ),
        ),
        Tokens(uncached_input=100, output=20),
        says={"billing": Billing.PARTLY, "note": "9 audio, image or video tokens are priced as text"},
    ),
    "searches": Case(
        (
            {
                "modelVersion": "gemini-3-flash",
                "candidates": [{"finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
                "usageMetadata": counts(),
            },
        ),
        Tokens(uncached_input=100, output=20, tool_units=2),
        says={"billing": Billing.PARTLY},
    ),
    "searches of older models are charged once": Case(
        (
            chunk("a", "STOP", counts())
            | {"candidates": [{"finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["a", "b"]}}]},
        ),
        Tokens(uncached_input=100, output=20, tool_units=1),
        says={"billing": Billing.PARTLY},
    ),
    # from here on the stream broke
    "it breaks off": Case(
        (chunk("a" * 40, usage=counts(100, 2)),),
        Tokens(uncached_input=100, output=10),
        complete=False,
        says={"note": "estimated from 40 characters of output", "stop_reason": ""},
    ),
    "calls and code count as output": Case(
        (
            {
                "candidates": [
                    {"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}, {"text": "abcd"}]}}
                ]
            },
        ),
        Tokens(output=8),
        complete=False,
    ),
    "an error within the stream": Case(
        (chunk("abcd", usage=counts(100, 1)), {"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}),
        Tokens(uncached_input=100, output=1),
        complete=False,
        says={"error_class": "UNAVAILABLE", "error_message": "Busy"},
    ),
    "no counts at all": Case((chunk("abcd", "STOP"),), Tokens(output=1), complete=False),
    "pieces of the wrong shape": Case(
        (
            {"candidates": {}, "usageMetadata": [], "modelVersion": 7},
            {"candidates": [3]},
            {"candidates": [{"content": 7}]},
        ),
        Tokens(),
        complete=False,
    ),
    "nothing": Case((), Tokens(), complete=False),
}


def as_array(case: Case) -> bytes:
    return ("[" + "\n,\r\n".join(json.dumps(each, separators=(",", ":")) for each in case.pieces) + "\n]\n").encode()


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("form", ["sse", "array"])
def test_a_stream_is_read(case, form):
    body = case.stream if form == "sse" else as_array(case)
    usage = read(Endpoint.GENERATE_CONTENT, body)
    assert usage.tokens == case.tokens
    assert usage.complete is case.complete
    assert {name: getattr(usage, name) for name in case.says} == case.says


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("form", ["sse", "array"])
def test_every_way_to_cut_a_stream_gives_the_same_counts(case, form):
    body = case.stream if form == "sse" else as_array(case)
    read_at_every_cut(Endpoint.GENERATE_CONTENT, body, read(Endpoint.GENERATE_CONTENT, body))


def test_a_plain_answer_needs_no_reason_to_stop():
    body = json.dumps(chunk("a", usage=counts())).encode()
    assert read(Endpoint.GENERATE_CONTENT, body, stream=False).complete
    assert not read(Endpoint.GENERATE_CONTENT, b"[" + body + b"]").complete


@pytest.mark.parametrize("space", [b"", b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"])
def test_the_form_is_told_by_the_first_byte_that_is_no_space(space):
    whole = space + json.dumps(STOP).encode()
    array = space + json.dumps([STOP]).encode()
    stream = events(STOP)
    for body in (whole, array, stream):
        usage = read(Endpoint.GENERATE_CONTENT, body)
        assert (usage.tokens, usage.complete) == (Tokens(uncached_input=100, output=20), True)
        read_at_every_cut(Endpoint.GENERATE_CONTENT, body, usage)


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_a_count_that_cannot_be_one_says_nothing(value):
    usage = read(Endpoint.GENERATE_CONTENT, events(chunk("a" * 8, "STOP", counts(value, 20, thoughtsTokenCount=value))))
    assert (usage.tokens.uncached_input, usage.complete) == (0, False)
    usage = read(
        Endpoint.GENERATE_CONTENT, events(chunk("a" * 8, "STOP", counts(5, 20, cachedContentTokenCount=value)))
    )
    assert usage.tokens == Tokens(uncached_input=5, output=20)


def test_the_header_knows_the_tier_best():
    parser = parser_for(Endpoint.GENERATE_CONTENT, stream=True, tier="flex")
    parser.feed(events(chunk("a", "STOP", counts(trafficType="ON_DEMAND"))))
    assert parser.finish().service_tier == "flex"


@pytest.mark.parametrize(
    ("body", "error_class"),
    [
        (b'{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED"}}', "RESOURCE_EXHAUSTED"),
        (b'[{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED"}}]', "RESOURCE_EXHAUSTED"),
        (b"[]", ""),
        (b"[7]", ""),
        (b"<html>", ""),
    ],
)
def test_an_error_bills_nothing(body, error_class):
    usage = read(Endpoint.GENERATE_CONTENT, body, stream=False, status=429)
    assert (usage.error_class, usage.tokens, usage.complete) == (error_class, Tokens(), True)


@pytest.mark.parametrize(
    ("body", "output", "note"),
    [
        (json.dumps(STOP).encode()[:60], 15, "estimated from 60 bytes of a broken answer"),
        (b"", 0, "nothing of the answer was seen"),
        (b'{"candidates":[]}', 0, "the answer told no counts"),
    ],
    ids=["cut", "empty", "no counts"],
)
def test_a_body_that_is_no_answer_is_incomplete(body, output, note):
    usage = read(Endpoint.GENERATE_CONTENT, body, stream=False)
    assert (usage.tokens.output, usage.note, usage.complete) == (output, note, False)


def test_an_image_of_megabytes_is_passed_over():
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * 3_000_000}}
    body = chunk(None, "STOP", counts(candidatesTokensDetails=audio(1290, "IMAGE")))
    body["candidates"][0]["content"] = {"parts": [image]}
    for form in (events(body), json.dumps([body]).encode()):
        usage = read(Endpoint.GENERATE_CONTENT, *(form[i : i + 65_536] for i in range(0, len(form), 65_536)))
        assert (usage.tokens, usage.complete) == (Tokens(uncached_input=100, output=20), True)


def test_output_starts_with_the_first_text():
    parser = parser_for(Endpoint.GENERATE_CONTENT, stream=True)
    parser.feed(events(chunk("", usage=counts(9, 0))))
    assert not parser.output_started
    parser.feed(events(chunk("Hi")))
    assert parser.output_started
