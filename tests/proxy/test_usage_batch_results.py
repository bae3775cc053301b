import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model import Endpoint, Tokens
from proxy.usage import BatchResult, Billing, parser_for
from proxy.usage.batch_results import ResultsParser, read_result

MESSAGE = {
    "id": "msg_1",
    "model": "claude-opus-4-5",
    "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "a\nb \u2028 c"}],
    "usage": {"input_tokens": 9, "output_tokens": 12, "service_tier": "standard"},
}


def line(custom_id: object, kind: object, **more: object) -> bytes:
    return json.dumps({"custom_id": custom_id, "result": {"type": kind, **more}}, ensure_ascii=False).encode() + b"\n"


DONE = line("a", "succeeded", message=MESSAGE)
ERROR = {"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}
FAILED = line("b", "errored", error=ERROR)
ALL = DONE + FAILED + line("c", "canceled") + line("d", "expired")


def read(*pieces: bytes, **limits: int) -> tuple[list[BatchResult], str]:
    found: list[BatchResult] = []
    parser = ResultsParser(found.append, read_result, **limits)
    for piece in pieces:
        parser.feed(piece)
    usage = parser.finish()
    assert (usage.complete, usage.tokens) == (True, Tokens())
    return found, usage.note


def test_each_line_is_a_result():
    found, note = read(ALL)
    assert [(each.custom_id, each.kind) for each in found] == [
        ("a", "succeeded"),
        ("b", "errored"),
        ("c", "canceled"),
        ("d", "expired"),
    ]
    done, failed, canceled, expired = (each.usage for each in found)
    assert (done.tokens, done.model, done.complete) == (Tokens(uncached_input=9, output=12), "claude-opus-4-5", True)
    assert (failed.error_class, failed.error_message) == ("invalid_request_error", "bad")
    assert (canceled.error_class, expired.error_class) == ("canceled", "expired")
    assert {each.usage.service_tier for each in found} == {"batch"}
    assert {each.usage.tokens for each in found[1:]} == {Tokens()}
    assert found[0].size == len(DONE) - 1
    assert note == ""


def test_every_way_to_cut_the_lines_gives_the_same_results():
    whole = read(ALL)
    assert read(*(ALL[i : i + 1] for i in range(len(ALL)))) == whole
    for cut in range(1, len(ALL)):
        assert read(ALL[:cut], ALL[cut:]) == whole


@pytest.mark.parametrize(
    ("lines", "ids", "note"),
    [
        (b"", "", ""),
        (b"\n\r\n  \n", "", ""),
        (DONE.replace(b"\n", b"\r\n") + FAILED, "ab", ""),
        (DONE + FAILED.rstrip(b"\n"), "ab", ""),  # a last line without its end
        (DONE + FAILED[:-20], "a", "1 results could not be read"),  # broken off
        (b"<html>\n" + DONE + b"[]\n" + FAILED, "ab", "2 results could not be read"),
        (line("", "canceled") + line(7, "canceled") + line("x", None) + DONE, "a", "3 results could not be read"),
        (b'{"custom_id":"x"}\n{"custom_id":"y","result":7}\n' + DONE, "a", "2 results could not be read"),
    ],
    ids=["nothing", "blank", "CRLF", "no end", "cut", "no JSON", "no name", "no result"],
)
def test_odd_lines_cost_none_of_the_others(lines, ids, note):
    found, said = read(lines)
    assert ("".join(each.custom_id for each in found), said) == (ids, note)


def test_a_message_that_tells_no_counts_is_incomplete():
    found, _ = read(line("a", "succeeded", message={"model": "m"}) + line("b", "succeeded"))
    assert [each.usage.complete for each in found] == [False, False]


def test_a_line_that_is_too_long_is_passed_over():
    found, note = read(DONE[:100], DONE[100:], FAILED, max_line_bytes=len(FAILED))
    assert [each.custom_id for each in found] == ["b"]
    assert note == "1 results could not be read"


def test_a_taker_that_fails_disturbs_nothing(caplog):
    def fails(_result: BatchResult) -> None:
        raise OSError("no disk")

    parser = parser_for(Endpoint.BATCHES, stream=False, results=fails)
    parser.feed(ALL)
    assert parser.finish().note == "4 results could not be read"
    assert "no disk" in caplog.text


def test_an_error_answer_is_no_result():
    parser = parser_for(Endpoint.BATCHES, stream=False, status=404, results=lambda _: pytest.fail("a result"))
    parser.feed(json.dumps(ERROR).encode())
    assert parser.finish().error_class == "invalid_request_error"


def test_without_a_batch_nothing_is_read():
    parser = parser_for(Endpoint.BATCHES, stream=False)
    parser.feed(ALL)
    assert parser.finish().billing is Billing.FREE


@given(st.lists(st.binary(max_size=30) | st.sampled_from([DONE, FAILED, b"\n", b'{"custom_id":'])))
def test_no_bytes_raise(pieces):
    read(*pieces)
