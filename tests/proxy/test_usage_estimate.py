import pytest

from data.model import Endpoint, Tokens
from proxy.sse import SseEvent
from proxy.usage import PARSERS, Billing, Usage, estimate_tokens, parser_for, with_estimated_input
from proxy.usage.stream import BodyParser, FreeParser, StreamParser

BROKEN = Usage(tokens=Tokens(output=5), note="estimated from 20 characters of output")


@pytest.mark.parametrize(("size", "tokens"), [(-1, 0), (0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_tokens_are_estimated_from_bytes(size, tokens):
    assert estimate_tokens(size) == tokens


def test_a_broken_answer_takes_its_input_from_the_request():
    usage = with_estimated_input(BROKEN, 700)
    assert usage.tokens == Tokens(uncached_input=700, output=5)
    assert usage.note == "estimated from 20 characters of output; input estimated from the request"


@pytest.mark.parametrize(
    "usage",
    [Usage(complete=True), Usage(tokens=Tokens(cache_read=3), note="broken")],
    ids=["nothing to estimate", "an input that is known"],
)
def test_a_known_input_stays(usage):
    assert with_estimated_input(usage, 700) is usage


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint.COUNT_TOKENS, Endpoint.COUNT_GEMINI_TOKENS, Endpoint.MODELS, Endpoint.FILES, Endpoint.BATCHES],
)
def test_endpoints_that_bill_nothing_have_exact_zeros(endpoint):
    parser = parser_for(endpoint, stream=False)
    assert not parser.output_started
    parser.feed(b'{"input_tokens": 2095}')
    assert parser.output_started
    assert parser.finish() == Usage(complete=True, billing=Billing.FREE)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_asking_for_what_is_there_already_costs_nothing(method):
    parser = parser_for(Endpoint.OTHER, stream=False, method=method)
    parser.feed(b'{"usage":{"input_tokens":7,"output_tokens":7}}')
    assert parser.finish() == Usage(complete=True, billing=Billing.FREE)


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("stream", [False, True])
def test_every_endpoint_has_a_parser(endpoint, stream):
    parser = parser_for(endpoint, stream=stream)
    reads = (endpoint, stream) in PARSERS or endpoint is Endpoint.BATCHES  # which bill nothing, but tell their ids
    assert isinstance(parser, FreeParser) is not reads


@pytest.mark.parametrize("endpoint", Endpoint)
def test_an_error_answer_that_cannot_be_read_bills_nothing(endpoint):
    parser = parser_for(endpoint, stream=True, status=502)
    parser.feed(b"<html>Bad gateway</html>")
    assert parser.finish() == Usage(complete=True)


class Faulty:
    """A reader with a defect."""

    output_started = False

    def take(self, event: SseEvent) -> None:
        raise RuntimeError(event.event)

    def usage(self, *, damaged: bool) -> Usage:
        if not damaged:
            raise RuntimeError("no usage")
        return Usage(note="damaged")


def test_a_faulty_reader_never_disturbs_the_answer():
    parser = StreamParser(Faulty())
    parser.feed(b"data: 1\n\ndata: 2\n\n")
    assert parser.finish() == Usage(note="damaged")
    assert StreamParser(Faulty()).finish() == Usage(note="the counts could not be read")


def test_a_body_too_large_to_keep_is_incomplete():
    parser = BodyParser(lambda _: Usage(complete=True), max_bytes=10)
    for _ in range(3):
        parser.feed(b"12345")
    assert parser.finish() == Usage(note="the answer's 15 bytes are too many to read")
