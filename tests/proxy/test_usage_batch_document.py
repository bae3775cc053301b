"""What a provider says of a batch itself."""

import json

import pytest

from data.model import Endpoint
from proxy.usage import Billing, parser_for
from proxy.usage.batch_document import read_batch

ANTHROPIC = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": {"processing": 0, "succeeded": 0, "errored": 1, "canceled": 2, "expired": 3},
}
OPENAI = {
    "id": "batch_1",
    "object": "batch",
    "status": "expired",
    "request_counts": {"total": 2, "completed": 0, "failed": 2},
}


@pytest.mark.parametrize(
    ("told", "over"),
    [
        (ANTHROPIC, True),
        ({**ANTHROPIC, "request_counts": {"succeeded": 1}}, False),
        ({**ANTHROPIC, "request_counts": {}}, False),
        ({**ANTHROPIC, "request_counts": {"succeeded": "0"}}, False),
        ({**ANTHROPIC, "processing_status": "in_progress"}, False),
        ({**ANTHROPIC, "processing_status": "canceling"}, False),
        ({"id": "msgbatch_1", "type": "message_batch_deleted"}, False),
        (OPENAI, True),
        ({**OPENAI, "status": "failed"}, True),
        ({**OPENAI, "status": "cancelled"}, True),
        ({**OPENAI, "status": "in_progress"}, False),
        ({**OPENAI, "request_counts": {"completed": 1}}, False),
        ({**OPENAI, "request_counts": None}, False),
    ],
)
def test_a_batch_is_over_where_nothing_of_it_is_charged(told, over):
    read = read_batch(json.dumps(told).encode())
    assert (read.response_id, read.nothing_due) == (told["id"], over)
    assert (read.complete, read.billing) == (True, Billing.FREE)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"1", b'{"id":1}', b'{"data":[{"id":"a"}]}'])
def test_anything_else_tells_nothing(body):
    read = read_batch(body)
    assert (read.response_id, read.nothing_due, read.complete) == ("", False, True)


def test_each_answer_of_the_endpoint_that_is_no_result_is_read_as_one():
    parser = parser_for(Endpoint.BATCHES, stream=False, method="GET")
    said = json.dumps(ANTHROPIC).encode()
    parser.feed(said[:20])
    parser.feed(said[20:])
    assert parser.finish().nothing_due


def test_an_error_is_none():
    parser = parser_for(Endpoint.BATCHES, stream=False, status=404)
    parser.feed(json.dumps({**ANTHROPIC, "error": {"type": "not_found_error"}}).encode())
    assert not parser.finish().nothing_due
