"""The table of providers' answers: each is counted as its file says, and costs what was worked out there by hand."""

import json
from collections import Counter
from decimal import Decimal

import pytest
from genai_prices import data_snapshot

from data.model import CostStatus, Endpoint, Tokens
from tests.proxy.answers_table import ANSWERS, PROTOCOLS, Answer, worked_out

TEXTS = ("model", "stop_reason", "service_tier", "inference_geo", "speed", "error_class", "error_message")
LEAST = {
    "anthropic": 35,
    "openai_chat": 25,
    "openai_responses": 15,
    "gemini": 30,
    "embeddings": 6,
    "batches": 6,
    "openai_batches": 6,
}
every_answer = pytest.mark.parametrize("answer", ANSWERS, ids=[answer.name for answer in ANSWERS])
every_stream = pytest.mark.parametrize(
    "answer", [answer for answer in ANSWERS if answer.streams], ids=[a.name for a in ANSWERS if a.streams]
)


def test_the_table_is_large_enough():
    found = Counter(answer.name.partition("/")[0] for answer in ANSWERS)
    assert sum(found.values()) >= 60
    assert set(found) == set(PROTOCOLS)
    assert all(found[folder] >= least for folder, least in LEAST.items()), found
    assert len([answer for answer in ANSWERS if answer.streams]) >= 40
    assert {answer.head.get("coding", "") for answer in ANSWERS} == {"", "gzip", "br", "zstd"}
    assert len({answer.head["quirk"] for answer in ANSWERS}) >= 60


@every_answer
def test_an_answer_is_counted_as_its_file_says(answer: Answer):
    usage = answer.read(answer.on_the_wire)
    expected = answer.expected
    assert usage.all_tokens == answer.tokens
    assert usage.complete is expected["complete"]
    for name in (*TEXTS[:2], *(name for name in expected if name not in {"tokens", "complete", "note"})):
        assert getattr(usage, name) == expected.get(name, ""), name
    if "note" in expected or not usage.complete:
        assert usage.note == expected["note"]


@every_answer
def test_an_answer_costs_what_was_worked_out_by_hand(answer: Answer):
    row = answer.row(answer.read(answer.on_the_wire))
    cost = answer.head["cost"]
    assert row.cost_status == cost["status"]
    if row.cost_status is CostStatus.UNPRICED:
        assert row.cost_usd is None
        assert "usd" not in cost
        return
    assert worked_out(cost["worked"]).quantize(Decimal("1e-9")) == Decimal(cost["usd"])
    assert row.cost_usd == Decimal(cost["usd"])
    counted = Tokens(
        row.uncached_input_tokens,
        row.cache_read_tokens,
        row.cache_write_5m_tokens,
        row.cache_write_1h_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.tool_units,
    )
    assert counted == answer.tokens
    assert bool(row.cost_note) is (row.cost_status is CostStatus.ESTIMATED or answer.expected.get("billing") == "free")


@every_stream
def test_a_stream_cut_at_every_byte_gives_the_same(answer: Answer):
    wire = answer.on_the_wire
    whole = answer.read(wire)
    assert answer.read(*(wire[i : i + 1] for i in range(len(wire)))) == whole
    for cut in range(1, len(wire)):
        assert answer.read(wire[:cut], wire[cut:]) == whole, cut


#: How the price list's own package reads answers, which shares nothing with this one.
FLAVORS = {
    Endpoint.MESSAGES: ("anthropic", "default"),
    Endpoint.CHAT_COMPLETIONS: ("openai", "chat"),
    Endpoint.RESPONSES: ("openai", "responses"),
    Endpoint.GENERATE_CONTENT: ("google", "default"),
}
WHOLE = [
    answer
    for answer in ANSWERS
    if answer.endpoint in FLAVORS and not answer.streams and answer.expected["complete"] and "status" not in answer.head
]


@pytest.mark.parametrize("answer", WHOLE, ids=[answer.name for answer in WHOLE])
def test_another_reader_of_answers_finds_the_same_counts(answer: Answer):
    provider, flavor = FLAVORS[answer.endpoint]
    found = data_snapshot.find_provider_by_id(data_snapshot.get_snapshot().providers, provider)
    own = answer.tokens
    try:
        _, theirs = found.extract_usage(json.loads(answer.body), api_flavor=flavor)
    except ValueError:
        theirs = None
    counts = theirs and (theirs.input_tokens or 0, theirs.cache_read_tokens or 0, theirs.output_tokens or 0)
    agrees = counts == (own.input, own.cache_read, own.output)
    # where it does not, the file says what this one knows better
    assert agrees is ("unlike_the_price_list" not in answer.head), counts


@pytest.mark.parametrize("text", ["__import__('os')", "1 if 2 else 3", "2 ** 9", "a + 1", "-1"])
def test_a_cost_is_worked_out_by_a_plain_sum_alone(text: str):
    with pytest.raises(ValueError, match="not a plain sum"):
        worked_out(text)
