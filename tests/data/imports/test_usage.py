"""Usage objects in logs count as the proxy counts them."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.imports.usage import Extra, answer_of, extras_of, parts_of, tokens_of
from data.model import Tokens
from proxy.usage.anthropic import read_body

numbers = st.one_of(st.integers(0, 50_000), st.sampled_from([None, -1, True, 1.5, 10**9, 10**9 + 1, "7", [], {"a": 1}]))
objects = st.fixed_dictionaries(
    {"output_tokens": st.integers(0, 10_000)},
    optional={
        "input_tokens": numbers,
        "cache_read_input_tokens": numbers,
        "cache_creation_input_tokens": numbers,
        "cache_creation": st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {}, optional={"ephemeral_5m_input_tokens": numbers, "ephemeral_1h_input_tokens": numbers}
            ),
        ),
        "server_tool_use": st.one_of(st.none(), st.fixed_dictionaries({}, optional={"web_search_requests": numbers})),
        "output_tokens_details": st.one_of(st.none(), st.fixed_dictionaries({}, optional={"thinking_tokens": numbers})),
    },
)


@settings(max_examples=300)
@given(objects)
def test_a_usage_object_counts_as_the_proxy_counts_it(usage):
    body = json.dumps({"type": "message", "id": "m", "model": "x", "usage": usage}).encode()
    assert tokens_of(usage) == read_body(body).tokens


entries = st.lists(
    st.one_of(
        st.integers(),
        st.fixed_dictionaries(
            {"type": st.sampled_from(["message", "fallback_message", "advisor_message", "new"])},
            optional={
                "model": st.sampled_from(["asked", "second", "third", "", None, 7]),
                "input_tokens": numbers,
                "cache_read_input_tokens": numbers,
                "output_tokens": st.integers(0, 10_000),
            },
        ),
    ),
    max_size=6,
)


@settings(max_examples=300)
@given(objects, entries)
def test_iterations_count_as_the_proxy_counts_them(usage, iterations):
    usage = usage | {"iterations": iterations}
    body = json.dumps({"type": "message", "id": "m", "model": "asked", "usage": usage}).encode()
    told, others = read_body(body), Counter[str]()
    for extra in extras_of(usage, "asked"):
        others[extra.model or "asked"] += extra.tokens.input + extra.tokens.output
    assert answer_of(usage, "asked") == (told.model, told.tokens)
    assert others == Counter({share.model: share.tokens.input + share.tokens.output for share in told.others})


@pytest.mark.parametrize("kind", ["fallback_message", "advisor_message", "compaction"])
def test_what_comes_after_many_turns_counts_as_the_proxy_counts_it(kind):
    turn = {"type": "message", "model": "claude-a", "input_tokens": 1, "output_tokens": 2}
    last = {"type": kind, "model": "claude-b", "input_tokens": 30, "output_tokens": 4}
    usage = {"input_tokens": 300, "output_tokens": 600, "iterations": [turn] * 300 + [last]}
    read = read_body(json.dumps({"type": "message", "id": "m", "model": "claude-a", "usage": usage}).encode())
    parts = parts_of(usage, "claude-a")
    assert sum(part.input for part in parts) == read.all_tokens.input
    assert sum(part.output for part in parts) == read.all_tokens.output
    assert answer_of(usage, "claude-a")[0] == read.model


def test_a_model_that_took_over_is_told_from_those_that_declined():
    usage = {
        "input_tokens": 70,
        "output_tokens": 9,
        "server_tool_use": {"web_search_requests": 1},
        "output_tokens_details": {"thinking_tokens": 20},
        "iterations": [
            {"type": "message", "model": "asked", "input_tokens": 50, "output_tokens": 0},
            {"type": "message", "model": "second", "input_tokens": 60, "output_tokens": 5},
            {"type": "message", "model": "third", "input_tokens": 65, "output_tokens": 3},
            {"type": "fallback_message", "model": "third", "input_tokens": 70, "output_tokens": 9},
        ],
    }
    assert answer_of(usage, "asked") == ("third", Tokens(135, output=12, reasoning=9, tool_units=1))
    assert list(extras_of(usage, "asked")) == [Extra(1, "message", "second", Tokens(60, output=5))]
    assert [tokens.output for tokens in parts_of(usage, "asked")] == [12, 5]


def test_what_is_sampled_within_a_call_is_told_apart():
    usage = {
        "input_tokens": 4,
        "output_tokens": 8,
        "iterations": [
            {"type": "message", "model": None, "input_tokens": 4, "output_tokens": 8},
            {"type": "advisor_message", "model": "claude-fable-5", "input_tokens": 1000, "output_tokens": 100},
            {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
            {"type": "something new", "input_tokens": 1},
            "odd",
        ],
    }
    assert list(extras_of(usage)) == [
        Extra(1, "advisor_message", "claude-fable-5", Tokens(1000, output=100)),
        Extra(2, "compaction", "", Tokens(180_000, output=3500)),
    ]
    assert parts_of(usage)[0] == Tokens(4, output=8)


@pytest.mark.parametrize("iterations", [None, 5, "x", {}, [], [None], [[]]], ids=str)
def test_iterations_of_another_shape_tell_nothing(iterations):
    assert list(extras_of({"iterations": iterations})) == []
