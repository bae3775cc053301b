"""The content of OpenAI's files: a batch's output is read line by line, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model import Endpoint, Tokens
from proxy.usage import BatchResult, Billing, parser_for
from proxy.usage.batch_results import ResultsParser
from proxy.usage.openai_batch import TRIES, read_output

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-5",
    "choices": [{"finish_reason": "stop", "message": {"content": "a\nb \u2028 c"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}},
    "service_tier": "default",
}
REFUSED = {"error": {"type": "invalid_request_error", "code": None, "message": "bad"}}


def line(custom_id: object, response: object, error: object = None, **more: object) -> bytes:
    value = {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": error, **more}
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def answered(body: object, status: int = 200) -> dict[str, object]:
    return {"status_code": status, "request_id": "req_1", "body": body}


DONE = line("a", answered(CHAT))
FAILED = line("b", answered(REFUSED, 400))
EXPIRED = line("c", None, {"code": "batch_expired", "message": "too late"})
ALL = DONE + FAILED + EXPIRED
ASKED = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-5","messages":[]}}\n'
TUNING = b'{"messages":[{"role":"user","content":"custom_id response error"}]}\n'


def read(*pieces: bytes, **limits: int) -> tuple[list[BatchResult], str]:
    found: list[BatchResult] = []
    parser = ResultsParser(found.append, read_output, tries=TRIES, **limits)
    for piece in pieces:
        parser.feed(piece)
    usage = parser.finish()
    assert (usage.complete, usage.tokens, usage.error_class) == (True, Tokens(), "")
    return found, usage.note


def test_each_line_is_a_result():
    found, note = read(ALL)
    assert [(each.custom_id, each.kind, each.status) for each in found] == [
        ("a", "succeeded", 200),
        ("b", "errored", 400),
        ("c", "errored", 0),
    ]
    done, failed, expired = (each.usage for each in found)
    assert (done.tokens, done.model) == (Tokens(uncached_input=5, cache_read=4, output=12), "gpt-5")
    assert (failed.error_class, failed.error_message) == ("invalid_request_error", "bad")
    assert (expired.error_class, expired.error_message) == ("batch_expired", "too late")
    assert {each.usage.service_tier for each in found} == {"batch"}
    assert {each.usage.complete for each in found} == {True}
    assert [each.request_id for each in found] == ["req_1", "req_1", ""]
    assert (found[0].size, note) == (len(DONE) - 1, "")


def test_every_way_to_cut_the_lines_gives_the_same_results():
    whole = read(ALL)
    assert read(*(ALL[i : i + 1] for i in range(len(ALL)))) == whole
    for cut in range(1, len(ALL)):
        assert read(ALL[:cut], ALL[cut:]) == whole


@pytest.mark.parametrize(
    ("lines", "ids", "note"),
    [
        (b"", "", ""),
        (b"\n\r\n  \n" + DONE, "a", ""),
        (DONE + EXPIRED.rstrip(b"\n"), "ac", ""),  # a last line without its end
        (DONE + FAILED[:-20], "a", "1 results could not be read"),  # broken off
        (DONE[40:] + FAILED + EXPIRED, "bc", "1 results could not be read"),  # a part of the file was asked for
        (DONE.replace(b'"id": "batch_req_1", ', b""), "a", ""),  # Azure's have no name of their own
        (DONE + ASKED + FAILED, "ab", "1 results could not be read"),
    ],
    ids=["nothing", "blank", "no end", "cut", "a part", "no name", "no result"],
)
def test_odd_lines_cost_none_of_the_others(lines, ids, note):
    found, said = read(lines)
    assert ("".join(each.custom_id for each in found), said) == (ids, note)


@pytest.mark.parametrize(
    "content",
    [
        ASKED * 3,
        TUNING * 3,
        b"%PDF-1.7\n\x00\xff\n" * 9,
        b'[{"custom_id":"a","response":{"status_code":200}}]',
        b'{"custom_id":"a","response":null,"error":null}\n' * 3,
        b'{"custom_id":"a","response":{"status_code":"200"},"error":null}\n' * 3,
        b'{"custom_id":7,"response":{"status_code":200},"error":null}\n' * 3,
        b'{"custom_id":"a","error":{"code":"batch_expired"}}\n' * 3,
    ],
    ids=["a batch's input", "a tuning file", "a picture", "an array", "neither", "no status", "no name", "no response"],
)
def test_another_file_has_no_results_whatever_comes_later(content):
    assert read(content) == ([], "")
    assert read(content + DONE * 2) == ([], "") or content.startswith(b"[")


def test_another_file_is_let_go_of_at_once():
    parser = ResultsParser(pytest.fail, read_output, tries=TRIES)
    parser.feed(TUNING * 2)
    parser.feed(b"x" * 1000)
    assert (b"".join(parser._parts), parser._size) == (b"", 0)


def test_a_line_that_is_too_long_is_passed_over():
    found, note = read(DONE, DONE[:100], DONE[100:], FAILED, max_line_bytes=len(DONE) - 1)
    assert [each.custom_id for each in found] == ["a", "a", "b"]
    found, note = read(FAILED, DONE[:100], DONE[100:], max_line_bytes=len(FAILED))
    assert ([each.custom_id for each in found], note) == (["b"], "1 results could not be read")


def test_an_answer_that_is_unknown_has_the_counts_it_tells():
    image = {"created": 1, "data": [], "usage": {"input_tokens": 7, "output_tokens": 3}}
    (one,), _ = read(line("a", answered(image)))
    assert (one.usage.tokens, one.usage.billing) == (Tokens(uncached_input=7, output=3), Billing.COUNTED)
    for body in ("", 7, None, {"usage": 1}):
        (one,), _ = read(line("a", answered(body)))
        assert (one.kind, one.usage.billing) == ("succeeded", Billing.UNKNOWN)


def test_a_refusal_that_says_nothing_is_told_by_its_status():
    (one,), _ = read(line("a", answered("<html>", 502)))
    assert (one.kind, one.usage.error_class) == ("errored", "http_502")


@pytest.mark.parametrize("endpoint", [Endpoint.FILES, Endpoint.BATCHES])
def test_without_a_taker_nothing_is_read(endpoint):
    parser = parser_for(endpoint, stream=False, method="GET")
    parser.feed(ALL)
    assert parser.finish().billing is Billing.FREE


@given(st.lists(st.binary(max_size=30) | st.sampled_from([DONE, FAILED, b"\n", b'{"custom_id":'])))
def test_no_bytes_raise(pieces):
    read(*pieces)
