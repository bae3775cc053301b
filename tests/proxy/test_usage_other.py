"""Embeddings, and answers of kinds that nobody here knows."""

import json

import pytest

from data.model import Endpoint, Tokens
from proxy.usage import Billing
from tests.proxy.sse_samples import events, read, read_at_every_cut

VECTORS = [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}]


@pytest.mark.parametrize(
    ("body", "tokens", "complete", "billing"),
    [
        ({"data": VECTORS, "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}}, 8, True, Billing.COUNTED),
        ({"embedding": {"values": [0.1]}, "usageMetadata": {"promptTokenCount": 5}}, 5, True, Billing.COUNTED),
        (
            {
                "embeddings": [{"values": [0.1]}],
                "usageMetadata": {
                    "promptTokenCount": 260,
                    "promptTokenDetails": [{"modality": "IMAGE", "tokenCount": 258}],
                },
            },
            260,
            True,
            Billing.PARTLY,
        ),
        ({"embedding": {"values": [], "statistics": {"tokenCount": 7.0}}}, 7, True, Billing.COUNTED),
        (
            {"embeddings": [{"statistics": {"tokenCount": 3}}, {"statistics": {"tokenCount": 4}}]},
            7,
            True,
            Billing.COUNTED,
        ),
        # from here on they do not say
        ({"embeddings": [{"statistics": {"tokenCount": 3}}, {"values": [0.1]}]}, 0, False, Billing.COUNTED),
        ({"embeddings": []}, 0, False, Billing.COUNTED),
        ({"embedding": {"values": [0.1]}}, 0, False, Billing.COUNTED),
        ({"embedding": 7, "usage": [], "usageMetadata": "x"}, 0, False, Billing.COUNTED),
        ({"data": VECTORS, "usage": {"prompt_tokens": -1}}, 0, False, Billing.COUNTED),
    ],
)
def test_an_embedding_counts_what_went_in(body, tokens, complete, billing):
    usage = read(Endpoint.EMBEDDINGS, json.dumps(body).encode(), stream=False)
    assert (usage.tokens, usage.complete, usage.billing) == (Tokens(uncached_input=tokens), complete, billing)
    assert bool(usage.note) is (not complete or billing is Billing.PARTLY)


def test_broken_vectors_are_no_output():
    usage = read(Endpoint.EMBEDDINGS, b'{"data":[{"embedding":[' + b"0.123," * 1000, stream=False)
    assert (usage.tokens, usage.complete) == (Tokens(), False)


COUNTED = Tokens(uncached_input=7, output=3)
TOLD = [
    ("chat", {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}, COUNTED),
    ("responses", {"usage": {"input_tokens": 7, "output_tokens": 3}}, COUNTED),
    ("gemini", {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}}, COUNTED),
    ("an event of Anthropic", {"message": {"usage": {"input_tokens": 7, "output_tokens": 3}}}, COUNTED),
    ("an event of OpenAI", {"response": {"usage": {"input_tokens": 7, "output_tokens": 3}}}, COUNTED),
    (
        "OpenAI's cache is part of the input",
        {"usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3}},
        Tokens(uncached_input=5, cache_read=2, output=3),
    ),
    (
        "Anthropic's is not",
        {"usage": {"input_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4}},
        Tokens(uncached_input=7, cache_read=2, cache_write_5m=4),
    ),
]


@pytest.mark.parametrize(("body", "tokens"), [each[1:] for each in TOLD], ids=[each[0] for each in TOLD])
def test_counts_are_read_wherever_they_are_known(body, tokens):
    plain = read(Endpoint.OTHER, json.dumps({"model": "m", **body}).encode(), stream=False)
    stream = events({"a": 1}, {"model": "m", **body}, "data: [DONE]\n\n")
    streamed = read(Endpoint.OTHER, stream)
    for usage in (plain, streamed):
        assert (usage.tokens, usage.model, usage.complete) == (tokens, "m", True)
        assert usage.billing is Billing.COUNTED
    read_at_every_cut(Endpoint.OTHER, stream, streamed)


@pytest.mark.parametrize(
    "body",
    [b"", b"ID3\x04\x00sound", b"[1,2]", b'{"data":[]}', b'{"usage":{"seconds":9}}', b'{"usage":null}', b"{broken"],
)
def test_what_tells_no_counts_is_of_unknown_cost(body):
    usage = read(Endpoint.OTHER, body, stream=False)
    assert (usage.tokens, usage.billing, usage.note) == (Tokens(), Billing.UNKNOWN, "the provider told no counts")


def test_sound_is_not_priced_as_text_without_a_word():
    body = {"usage": {"input_tokens": 9, "output_tokens": 3, "input_tokens_details": {"audio_tokens": 9}}}
    usage = read(Endpoint.OTHER, json.dumps(body).encode(), stream=False)
    assert (usage.billing, usage.note) == (Billing.PARTLY, "9 audio tokens are priced as text")


def test_an_error_within_a_stream_is_told():
    usage = read(Endpoint.OTHER, events({"error": {"type": "server_error", "message": "Sorry"}}))
    assert (usage.error_class, usage.error_message) == ("server_error", "Sorry")
