"""The most a call may cost: by hand, and against what counts of any kind come to."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import PriceOverride
from data.model import Endpoint, Tokens
from data.pricing import PriceBook
from proxy.budget.appraisal import Appraiser
from proxy.budget.demand import Demand, Limits, demand

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
ASSUMED = 100_000
BOOK = PriceBook()
APPRAISER = Appraiser(BOOK, ASSUMED)
IMAGE = 50_000
FRAME = 64
TOOLS = 1_000


def asked(body, endpoint=Endpoint.MESSAGES, **limits) -> Demand:
    return demand(json.dumps(body).encode(), endpoint, Limits(**limits))


def chat(*content, **more):
    return {"model": "m", "messages": [{"role": "user", "content": list(content)}], **more}


def size(body) -> int:
    return len(json.dumps(body))


TEXT = {"type": "text", "text": "Hello"}
DATA = "A" * 10_000
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def test_text_is_at_most_its_bytes():
    body = chat(TEXT)
    found = asked(body, max_tokens=100)
    assert (found.input_tokens, found.output_tokens) == (size(body) + FRAME, 100)
    assert found.likely_input_tokens == size(body) // 3
    assert (found.open_ended, found.turns, found.tool_units, found.writes_5m, found.hidden_tokens) == (
        False, 1, 0, False, 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("part", "endpoint"),
    [
        (PICTURE, Endpoint.MESSAGES),
        ({"type": "tool_result", "content": [PICTURE]}, Endpoint.MESSAGES),
        ({"type": "document", "source": {"type": "content", "content": [PICTURE]}}, Endpoint.MESSAGES),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}, Endpoint.CHAT_COMPLETIONS),
        ({"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}, Endpoint.RESPONSES),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_an_image_counts_as_one_and_not_by_its_bytes(part, endpoint):
    body = chat(part)
    found = asked(body, endpoint, max_tokens=1)
    text = found.input_tokens - FRAME - IMAGE
    # what is taken off is the data, and nothing else of the body
    assert size(body) - len(DATA) - 40 <= text <= size(body) - len(DATA)
    assert not found.open_ended


def test_images_of_gemini_and_of_answers_of_functions():
    inline = {"inlineData": {"mimeType": "image/png", "data": DATA}}
    plain = {"contents": [{"parts": [inline]}]}
    nested = {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}, "parts": [inline]}}]}]}
    for body in (plain, nested):
        found = asked(body, Endpoint.GENERATE_CONTENT, max_tokens=1)
        assert found.input_tokens - FRAME - IMAGE == size(body) - len(DATA) - 2


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_image", "file_id": "f"},
    ],
)
def test_an_image_that_lies_elsewhere_takes_no_bytes_off(part):
    body = chat(part)
    assert asked(body).input_tokens == size(body) + FRAME + IMAGE


def test_what_a_tool_was_given_is_text_even_if_it_looks_like_an_image():
    body = chat({"type": "tool_use", "id": "t", "name": "n", "input": {"content": [PICTURE]}})
    assert asked(body).input_tokens == size(body) + FRAME


def test_a_key_that_is_written_with_escapes_hides_nothing():
    raw = json.dumps(chat(PICTURE)).replace('"image"', '"\\u0069mage"').replace('"content"', '"\\u0063ontent"')
    found = demand(raw.encode(), Endpoint.MESSAGES, Limits())
    assert found.input_tokens < len(DATA) + IMAGE


@pytest.mark.parametrize(
    "part",
    [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": DATA}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "container_upload", "file_id": "f"},
        {"type": "item_reference", "id": "x"},
        {"fileData": {"fileUri": "gs://x"}},
        {"inline_data": {"mime_type": "application/pdf", "data": DATA}},
    ],
)
def test_what_has_pages_or_lies_elsewhere_may_be_as_long_as_the_window(part):
    assert asked(chat(part)).open_ended
    assert asked({"contents": [{"parts": [part]}]}).open_ended


@pytest.mark.parametrize(
    ("more", "open_ended"),
    [
        ({"cachedContent": "cachedContents/x"}, True),
        ({"previous_response_id": "resp_1"}, True),
        ({"previous_response_id": None}, False),
        ({"conversation": {"id": "c"}}, True),
        ({"prompt": {"id": "p"}}, True),
        ({"prompt": "once upon a time"}, False),
        ({"container": "c_1"}, True),
        ({"tools": [{"name": "n", "input_schema": {"properties": {"prompt": {"type": "string"}}}}]}, False),
    ],
)
def test_what_the_provider_keeps_may_be_as_long_as_the_window(more, open_ended):
    assert asked(chat(TEXT, **more)).open_ended is open_ended


def test_a_document_of_plain_text_is_its_bytes():
    body = chat({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 100}})
    found = asked(body)
    assert (found.open_ended, found.input_tokens) == (False, size(body) + FRAME)


@pytest.mark.parametrize(
    ("more", "uses"),
    [
        ({"tools": [SEARCH]}, 3),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 10),
        ({"tools": [SEARCH, {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}]}, 5),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, 0),
        ({"tools": [{"type": "custom", "name": "n"}, {"name": "m"}]}, 0),
        ({"tools": [{"type": "function", "function": {"name": "n"}}]}, 0),
        ({"tools": [{"type": "web_search"}], "max_tool_calls": 4}, 4),
        ({"tools": [{"type": "file_search"}]}, 10),
        ({"mcp_servers": [{"type": "url", "url": "https://x"}]}, 10),
        ({"web_search_options": {"user_location": {"type": "approximate"}}}, 10),
        ({"tools": [{"googleSearch": {}}], "contents": []}, 10),
        ({"tools": [{"functionDeclarations": [{"name": "googleSearch"}]}], "contents": []}, 0),
    ],
    ids=str,
)
def test_tools_that_the_provider_runs_are_used_as_often_as_they_may(more, uses):
    found = asked(chat(TEXT, **more))
    assert (found.tool_units, found.turns) == (uses, uses + 1)


@pytest.mark.parametrize(
    ("body", "five", "hour"),
    [
        (chat({**TEXT, "cache_control": {"type": "ephemeral"}}), True, False),
        (chat({**TEXT, "cache_control": {"type": "ephemeral", "ttl": "1h"}}), True, True),
        (chat({**TEXT, "cache_control": {"type": "ephemeral", "ttl": "5m"}}), True, False),
        (chat({**TEXT, "cache_control": None}), False, False),
        (chat(TEXT, cache_control={"type": "ephemeral"}), True, False),
        (chat(TEXT, tools=[{"name": "n", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]), True, True),
        (chat(TEXT, system=[{**TEXT, "cache_control": {"type": "ephemeral"}}]), True, False),
        (chat({"type": "text", "text": 'the word "cache_control" in a text'}), False, False),
    ],
)
def test_writes_to_a_cache_are_told_by_where_they_are_asked_for(body, five, hour):
    found = asked(body)
    assert (found.writes_5m, found.writes_1h) == (five, hour)


@pytest.mark.parametrize(
    ("thinking", "hidden"),
    [
        (None, 0),
        ({"type": "disabled"}, 0),
        ({"type": "enabled", "budget_tokens": 2048}, 2048),
        ({"type": "adaptive"}, None),
        ({"type": "enabled"}, None),
    ],
)
def test_thinking_may_be_hidden(thinking, hidden):
    assert asked(chat(TEXT, thinking=thinking)).hidden_tokens == hidden


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[1]", b'{"messages": 3}', b'{"messages": [{"content": 5}]}', b"\xff\xfe", b"[" * 10_000],
)
def test_a_body_that_cannot_be_read_may_hold_anything(body):
    found = demand(body, Endpoint.MESSAGES, Limits(max_tokens=7))
    assert (found.open_ended, found.writes_1h, found.hidden_tokens, found.output_tokens) == (True, True, None, 7)


@pytest.mark.parametrize(
    "endpoint", [Endpoint.COUNT_TOKENS, Endpoint.MODELS, Endpoint.FILES, Endpoint.BATCHES, Endpoint.BATCH_RESULT]
)
def test_what_bills_nothing_asks_for_nothing(endpoint):
    assert not demand(b"{}", endpoint, Limits()).bills


def worst(body, model="claude-sonnet-4-5", endpoint=Endpoint.MESSAGES, protocol="anthropic", **limits):
    found = asked(body, endpoint, **limits)
    return APPRAISER.worst(found, provider=protocol, protocol=protocol, model=model, now_s=AT.timestamp())


def dollars(text: str) -> int:
    return int(Decimal(text).scaleb(9))


@pytest.mark.parametrize(
    ("more", "limits", "model", "cost"),
    [
        # input $3, output $15 a million: 1,000 at .000003 and 100 at .000015
        ({}, {"max_tokens": 100}, "claude-sonnet-4-5", "0.0045"),
        # no limit: 100,000 assumed
        ({}, {}, "claude-sonnet-4-5", "1.503"),
        # written to a cache for five minutes 3.75, for an hour 6
        ({"cache_control": {"type": "ephemeral"}}, {"max_tokens": 100}, "claude-sonnet-4-5", "0.00525"),
        ({"cache_control": {"ttl": "1h"}}, {"max_tokens": 100}, "claude-sonnet-4-5", "0.0075"),
        # something of the window's length, a million, at the dearer tier 6 and 22.50
        ({"container": "c"}, {"max_tokens": 100}, "claude-sonnet-4-5", "6.00225"),
        # one search: twice 1,000 and 1,000 for tools, 10,000 that it brings, at 3.75, $0.01 for it
        ({"tools": [{**SEARCH, "max_uses": 1}]}, {"max_tokens": 100}, "claude-sonnet-4-5", "0.064"),
        # kept in the United States a tenth more
        ({}, {"max_tokens": 100, "inference_geo": "us"}, "claude-sonnet-4-5", "0.00495"),
        # half price
        ({}, {"max_tokens": 100, "service_tier": "batch"}, "claude-sonnet-4-5", "0.00225"),
    ],
)  # fmt: skip
def test_the_worst_case_by_hand(more, limits, model, cost):
    rest = size(chat({"type": "text", "text": ""}, **more)) + FRAME
    body = chat({"type": "text", "text": "x" * (1000 - rest)}, **more)
    assert size(body) == 1000 - FRAME
    assert worst(body, model, **limits).nano == dollars(cost)


@pytest.mark.parametrize(("tier", "cost"), [("", "0.01"), ("priority", "0.02"), ("flex", "0.01"), ("auto", "0.02")])
def test_a_tier_that_is_asked_for_may_be_given_or_not(tier, cost):
    # gpt-5: output $10, priority 20, flex 5; its input is left out by taking the difference
    few, many = (
        worst(chat(TEXT), "gpt-5", Endpoint.CHAT_COMPLETIONS, "openai", max_tokens=n, service_tier=tier).nano
        for n in (1, 1001)
    )
    assert few is not None
    assert many is not None
    assert many - few == dollars(cost)


def test_every_answer_of_several_counts():
    one, three = (worst(chat(TEXT), max_tokens=1000, answers=n).nano for n in (1, 3))
    assert one is not None
    assert three is not None
    assert three - one == dollars("0.03")


@pytest.mark.parametrize(
    ("more", "answers"),
    [
        ({"prompt": "one"}, 1),
        ({"prompt": []}, 1),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": ["one", "two", "three"]}, 3),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": ["one", "two"], "n": 2}, 4),
        ({"prompt": "one", "best_of": 5}, 5),
        ({"prompt": ["one", "two"], "n": 3, "best_of": 2}, 6),
    ],
    ids=json.dumps,
)
def test_each_prompt_of_a_completion_has_all_its_answers(more, answers):
    limited = asked(more, Endpoint.OTHER, max_tokens=100, answers=more.get("n", 1))
    assert (limited.output_tokens, limited.answers) == (100 * answers, answers)
    assert asked(more, Endpoint.OTHER, answers=more.get("n", 1)).answers == answers


def advisor(**more):
    return {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-5", **more}


@pytest.mark.parametrize(
    ("more", "others"),
    [
        # what an advisor reads is at Opus's $6.25 a million, for tools of a provider cache; it answers at $25
        ({"tools": [advisor(max_uses=2, max_tokens=1000)]}, lambda turns: turns * 6250 + 2 * 1000 * 25_000),
        ({"tools": [{"type": None, "name": "n"}, advisor(max_uses=1)]}, lambda turns: turns * 6250 + ASSUMED * 25_000),
        ({"fallbacks": [{"model": "claude-opus-4-5"}]}, lambda once: once * 5000 + 10 * 25_000),
        ({"fallbacks": [{"model": "claude-opus-4-5", "max_tokens": 99}]}, lambda once: once * 5000 + 99 * 25_000),
        ({"fallbacks": "default"}, lambda _: 0),
        ({"fallbacks": [{"model": 5}]}, lambda _: 0),
        ({"tools": [advisor(model=None, max_uses=1)]}, lambda _: 0),
    ],
    ids=["advisor", "unlimited advisor", "fallback", "longer fallback", "default", "no name", "no model"],
)
def test_other_models_that_a_call_names_may_read_and_answer_too(more, others):
    body = chat(TEXT, **more)
    alone = demand(json.dumps(body).encode(), Endpoint.MESSAGES, Limits(max_tokens=10))
    uses = alone.turns - 1
    read = alone.input_tokens * alone.turns + 10_000 * uses * (uses + 1) // 2
    rate = 3750 if uses else 3000
    found = worst(body, max_tokens=10)
    assert (
        found.nano == read * rate + 10 * 15_000 + uses * 10_000_000 + others(read) + (others(0) > 0) * uses * 10_000_000
    )
    assert found.shared is (others(0) > 0)


def test_another_model_without_a_price_has_none():
    assert worst(chat(TEXT, fallbacks=[{"model": "mystery"}]), max_tokens=10).nano is None


def test_an_embedding_has_no_output():
    found = worst({"input": ["a", "b"]}, "text-embedding-3-small", Endpoint.EMBEDDINGS, "openai")
    assert found.nano == (size({"input": ["a", "b"]}) + FRAME) * 20
    tokens = worst({"input": [[1, 2, 3]]}, "text-embedding-3-small", Endpoint.EMBEDDINGS, "openai")
    assert tokens.nano == (size({"input": [[1, 2, 3]]}) + FRAME) * 20


def test_a_model_without_a_price_has_no_worst_case():
    assert worst(chat(TEXT), "mystery").nano is None


def test_what_bills_nothing_costs_nothing_at_any_model():
    assert worst({}, "mystery", Endpoint.COUNT_TOKENS).nano == 0


def test_prices_of_the_configuration_count():
    book = PriceBook((PriceOverride(model="mine", input=Decimal("0.025"), output=Decimal(1)),))
    found = Appraiser(book, ASSUMED).worst(
        asked(chat(TEXT), max_tokens=1), provider="p", protocol="openai", model="mine", now_s=AT.timestamp()
    )
    # 25 nanodollars a token, 1,000 for the one of output
    assert found.nano == (size(chat(TEXT)) + FRAME) * 25 + 1000


def test_a_batch_is_all_of_its_calls_at_half_price():
    calls = [
        {"custom_id": str(n), "params": {**chat(TEXT), "model": "claude-sonnet-4-5", "max_tokens": 1000}}
        for n in range(3)
    ]
    body = json.dumps({"requests": calls}).encode()
    found = APPRAISER.batch(body, provider="anthropic", protocol="anthropic", now_s=AT.timestamp())
    one = size(calls[0]["params"]) + FRAME
    assert found.by_model == {"claude-sonnet-4-5": 3 * (one * 1500 + 1000 * 7500)}


def test_a_batchs_worst_case_is_told_by_model():
    asked = [("claude-sonnet-4-5", 1000), ("claude-opus-4-5", 10), ("claude-sonnet-4-5", 2000), ("mystery", 9)]
    calls = [
        {"custom_id": str(n), "params": {**chat(TEXT), "model": m, "max_tokens": t}} for n, (m, t) in enumerate(asked)
    ]
    body = json.dumps({"requests": calls}).encode()
    found = APPRAISER.batch(body, provider="anthropic", protocol="anthropic", now_s=AT.timestamp())
    read = [size(call["params"]) + FRAME for call in calls]
    assert found.by_model == {
        # $3 and $15 a million, halved; $5 and $25
        "claude-sonnet-4-5": (read[0] + read[2]) * 1500 + 3000 * 7500,
        "claude-opus-4-5": read[1] * 2500 + 10 * 12_500,
        "mystery": None,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"requests": 1}',
        b'{"requests": [{"params": 1}]}',
        b'{"requests": []}',
        b"{}",
        b'{"input_file_id": "file-1"}',
    ],
)
def test_a_batch_that_cannot_be_read_does_not_tell_what_it_may_cost(body):
    assert APPRAISER.batch(body, provider="anthropic", protocol="anthropic", now_s=AT.timestamp()) is None


def test_of_a_model_without_a_price_one_more_call_leaves_a_batch_unpriced():
    calls = [{"params": {"model": "mystery", "max_tokens": most}} for most in (9, 9)]
    body = json.dumps({"requests": calls}).encode()
    found = APPRAISER.batch(body, provider="anthropic", protocol="anthropic", now_s=AT.timestamp())
    assert found.by_model == {"mystery": None}


MODELS = [
    ("claude-sonnet-4-5", "anthropic"), ("claude-opus-5-5", "anthropic"), ("claude-fable-5-2", "anthropic"),
    ("gpt-5", "openai"), ("gpt-5.4", "openai"), ("o3", "openai"), ("deepseek-chat", "deepseek"),
]  # fmt: skip


@given(
    st.sampled_from(MODELS),
    st.sampled_from(["", "flex", "priority", "batch"]),
    st.integers(0, 600_000),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.tuples(st.integers(0, 40_000), st.integers(0, 23)),
)
def test_no_split_of_the_tokens_costs_more_than_the_worst_case(model, tier, total, shares, others):
    """Any share of any input at any hour, served in the tier or not."""
    (name, protocol), (output, hour), (*cuts, part) = model, others, shares
    body = Demand(input_tokens=total, output_tokens=output, writes_5m=True, writes_1h=True, service_tier=tier)
    at = AT.replace(hour=hour)
    most = APPRAISER.worst(body, provider=protocol, protocol=protocol, model=name, now_s=at.timestamp()).nano
    a, b, c = sorted(int(total * cut) for cut in cuts)
    tokens = Tokens(a, b - a, c - b, total - c, int(output * part), int(output * part * 0.5))
    served = ("batch",) if tier == "batch" else ("", tier)
    for actual in served:
        cost = BOOK.price(provider=protocol, protocol=protocol, model=name, tokens=tokens, at=at, service_tier=actual)
        assert cost.cost_usd is not None
        assert most is not None
        assert cost.cost_usd.scaleb(9) <= most


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "source", "data", "parts", "x"]), inner, max_size=3)
    ),
    max_leaves=20,
)
FIELDS = ["messages", "input", "contents", "system", "tools", "thinking", "prompt", "prediction", "max_tool_calls"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), st.sampled_from(list(Endpoint)))
def test_whatever_is_sent_has_a_worst_case(body, endpoint):
    found = demand(json.dumps(body).encode(), endpoint, Limits(max_tokens=5))
    most = APPRAISER.worst(found, provider="anthropic", protocol="anthropic", model="claude-sonnet-4-5", now_s=1.79e9)
    assert most.nano is not None
    assert most.nano >= 0


@given(st.binary(max_size=200))
def test_any_bytes_have_a_worst_case(body):
    found = demand(body, Endpoint.RESPONSES, Limits())
    assert found.input_tokens >= 0
