"""Parsers of providers' answers, one file a protocol."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from data.model import Endpoint
from proxy.usage import anthropic, embeddings, gemini, openai_batch, openai_chat, openai_responses, other
from proxy.usage.batch_document import read_batch
from proxy.usage.batch_results import BatchResult, ResultsParser, read_result
from proxy.usage.errors import UNREADABLE_ANSWER, is_unexpected, read_error
from proxy.usage.estimate import estimate_tokens, with_estimated_input
from proxy.usage.json_array import JsonArray
from proxy.usage.stream import BodyParser, FreeParser, SniffingParser, StreamParser, UntoldParser, skimming
from proxy.usage.usage import Billing, Share, Usage, UsageParser

__all__ = [
    "ASKING",
    "PARSERS",
    "UNREADABLE_ANSWER",
    "BatchResult",
    "Billing",
    "Share",
    "Usage",
    "UsageParser",
    "estimate_tokens",
    "is_stream",
    "is_unexpected",
    "parser_for",
    "with_estimated_input",
]

#: Answers to these change nothing at the provider, so they cost nothing, whatever counts they repeat.
ASKING: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


def _gemini(tier: str) -> UsageParser:
    """A stream has one of two forms, which its Content-Type does not tell apart from a plain answer."""
    return SniffingParser(
        body=lambda: BodyParser(lambda data: gemini.read_body(data, tier)),
        array=lambda: StreamParser(gemini.GeminiStream(tier), JsonArray()),
        other=lambda: StreamParser(gemini.GeminiStream(tier)),
    )


def _other(_tier: str) -> UsageParser:
    """Sound, images and files are told nothing of."""
    return SniffingParser(body=lambda: BodyParser(other.read_body), array=UntoldParser, other=UntoldParser)


TakeResult = Callable[[BatchResult], object]
#: What reads the results of batches, and gives them away: of files nobody says which have some.
RESULTS: Final[Mapping[Endpoint, Callable[[TakeResult], UsageParser]]] = {
    Endpoint.BATCHES: lambda take: ResultsParser(take, read_result),
    Endpoint.FILES: lambda take: ResultsParser(take, openai_batch.read_output, tries=openai_batch.TRIES),
}

#: What reads the answer of an endpoint, by whether the answer is an event stream; it is told the tier that served.
PARSERS: Final[Mapping[tuple[Endpoint, bool], Callable[[str], UsageParser]]] = {
    (Endpoint.MESSAGES, True): lambda _: skimming(anthropic.AnthropicStream()),
    (Endpoint.MESSAGES, False): lambda _: BodyParser(anthropic.read_body),
    (Endpoint.CHAT_COMPLETIONS, True): lambda _: skimming(openai_chat.ChatStream()),
    (Endpoint.CHAT_COMPLETIONS, False): lambda _: BodyParser(openai_chat.read_body),
    (Endpoint.RESPONSES, True): lambda _: skimming(openai_responses.ResponsesStream()),
    (Endpoint.RESPONSES, False): lambda _: BodyParser(openai_responses.read_body),
    (Endpoint.EMBEDDINGS, False): lambda _: BodyParser(embeddings.read_body),
    (Endpoint.EMBEDDINGS, True): lambda _: StreamParser(other.OtherStream()),
    (Endpoint.GENERATE_CONTENT, True): _gemini,
    (Endpoint.GENERATE_CONTENT, False): _gemini,
    (Endpoint.OTHER, True): lambda _: StreamParser(other.OtherStream()),
    (Endpoint.OTHER, False): _other,
}


def parser_for(
    endpoint: Endpoint,
    *,
    stream: bool,
    status: int = 200,
    method: str = "POST",
    tier: str = "",
    results: TakeResult | None = None,
    aside: Callable[[bytes], object] | None = None,
) -> UsageParser:
    """A fresh parser for one answer.

    `stream`: the answer is an event stream by its Content-Type, whatever was asked for. From `status` 400
    on the answer is an error, which bills nothing; endpoints that bill nothing give zero tokens. `tier` is what
    the answer's headers say of it, '' for nothing; `results` takes those of a batch, where it has
    some; `aside` takes the whole of an answer that tells of batches.
    """
    if is_unexpected(status):
        return FreeParser()
    if status >= 400:
        return BodyParser(read_error)
    if results is not None:
        return RESULTS[endpoint](results)
    if endpoint is Endpoint.BATCHES:
        return BodyParser(partial(read_batch, aside=aside))
    if endpoint is Endpoint.OTHER and method in ASKING:
        return FreeParser()
    make = PARSERS.get((endpoint, stream))
    return make(tier) if make is not None else FreeParser()


def is_stream(endpoint: Endpoint, *, asked: bool, content_type: str, status: int) -> bool:
    """Whether an answer is a stream: by its Content-Type, but for Gemini, whose stream may be a JSON array."""
    if content_type.partition(";")[0].strip().lower() == "text/event-stream":
        return True
    return asked and endpoint is Endpoint.GENERATE_CONTENT and status == 200
