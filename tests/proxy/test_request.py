"""What the proxy reads in a body, whatever the body is."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.request import RequestFacts, _facts_one_by_one, _Good, clean, read_facts


def test_the_facts_of_a_messages_body():
    body = b'{"model":"claude-x","max_tokens":9,"stream":true,"metadata":{"user_id":"u1"},"messages":["\\u00e9"]}'
    assert read_facts(body) == RequestFacts("claude-x", stream=True, max_tokens=9, user_id="u1")


def test_the_facts_of_a_chat_body():
    body = b'{"model":"gpt-x","max_output_tokens":7,"stream":true,"stream_options":{"include_usage":true},"user":"ann"}'
    assert read_facts(body) == RequestFacts("gpt-x", stream=True, max_tokens=7, user_id="ann", include_usage=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"generationConfig":{"maxOutputTokens":9,"candidateCount":3},"serviceTier":"flex"}',
        b'{"generation_config":{"max_output_tokens":9,"candidate_count":3},"service_tier":"flex"}',
    ],
    ids=["camel", "snake"],
)
def test_the_facts_of_a_gemini_body(body: bytes):
    assert read_facts(body) == RequestFacts(max_tokens=9, answers=3, service_tier="flex")


def test_what_changes_the_price_is_read():
    body = b'{"n":4,"service_tier":"priority","speed":"fast","inference_geo":"us"}'
    assert read_facts(body) == RequestFacts(answers=4, service_tier="priority", speed="fast", inference_geo="us")


@pytest.mark.parametrize(
    "body",
    [
        b'{"max_tokens":1,"max_completion_tokens":9,"max_output_tokens":3,"n":2}',
        b'{"max_output_tokens":9,"max_tokens":2,"generationConfig":{"maxOutputTokens":1,"candidateCount":2}}',
        b'{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9,"candidateCount":1,"candidate_count":2}}',
        b'{"max_tokens":1,"max_completion_tokens":9,"n":2,"user":[]}',
    ],
)
def test_of_several_limits_of_an_answer_the_greatest_bounds_it(body: bytes):
    assert read_facts(body) == _facts_one_by_one(body) == RequestFacts(max_tokens=9, answers=2)


def test_a_safety_identifier_wins_over_the_older_user_field():
    assert read_facts(b'{"user":"old","safety_identifier":"new"}').user_id == "new"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model":', b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "no UTF-8", "cut value", "deep"],
)
def test_what_is_no_json_object_is_unreadable_and_harmless(body: bytes):
    assert read_facts(body) == RequestFacts(readable=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":5,"stream":"yes","max_tokens":"9","metadata":[],"stream_options":7,"user":{}}',
        b'{"model":null,"stream":1,"max_tokens":-3,"metadata":{"user_id":4}}',
        b'{"max_tokens":true,"metadata":null}',
        b'{"n":0,"generationConfig":[],"service_tier":1,"speed":null,"inference_geo":{}}',
        b'{"n":-1,"generationConfig":{"maxOutputTokens":"9","candidateCount":1.5}}',
    ],
)
def test_wrong_types_are_as_good_as_nothing(body: bytes):
    assert read_facts(body) == RequestFacts()


def test_long_and_unprintable_names_are_cut_and_cleaned():
    assert clean("a\x00b\r\nc" + "d" * 500, 8) == "a b  cdd"
    assert clean("caf\u00e9 \ud800", 20) == "caf\u00e9 ?"


@pytest.mark.parametrize("name", ["metadata", "stream_options", "model", "user", "max_tokens", "stream", "other"])
def test_a_million_values_make_no_objects(name: str):
    body = b'{"%s":[%s0],"safety_identifier":"ann"}' % (name.encode(), b"[]," * 1_000_000)
    tracemalloc.start()
    try:
        facts = read_facts(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert facts.user_id == "ann"
    assert peak < 100_000


VALUES = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.text(max_size=5)
ONE_LEVEL = VALUES | st.dictionaries(
    st.sampled_from(["user_id", "include_usage", "maxOutputTokens", "candidate_count"]), VALUES
)


@given(st.dictionaries(st.sampled_from(list(_Good.__struct_encode_fields__)), ONE_LEVEL))
def test_both_ways_of_reading_agree(body: dict[str, object]):
    said = msgspec.json.encode(body)
    assert read_facts(said) == _facts_one_by_one(said)


@pytest.mark.parametrize(
    "body",
    [
        b'{"service_tier":null,"serviceTier":"flex"}',
        b'{"service_tier":"","serviceTier":"flex"}',
        b'{"generationConfig":null,"generation_config":{"maxOutputTokens":3}}',
        b'{"generationConfig":{},"generation_config":{"maxOutputTokens":3}}',
        b'{"safety_identifier":null,"metadata":{"user_id":""},"user":"ann"}',
    ],
)
def test_both_ways_take_null_and_nothing_for_what_is_not_there(body: bytes):
    assert read_facts(body) == _facts_one_by_one(body)


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes):
    assert isinstance(read_facts(body), RequestFacts)


@given(st.text(max_size=50) | st.integers() | st.none())
def test_clean_text_can_always_be_stored(value: object):
    assert clean(value, 30).encode("utf-8").decode().isprintable()
