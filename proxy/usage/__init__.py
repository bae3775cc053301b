"""Parsers of providers' answers, one file a protocol."""

from collections.abc import Callable, Mapping
from typing import Final

from data.model import Endpoint
from proxy.usage import anthropic, openai_chat, openai_responses
from proxy.usage.errors import UNREADABLE_ANSWER, is_unexpected, read_error
from proxy.usage.estimate import estimate_tokens, with_estimated_input
from proxy.usage.stream import BodyParser, FreeParser, StreamParser
from proxy.usage.usage import Usage, UsageParser

__all__ = [
    "PARSERS",
    "UNREADABLE_ANSWER",
    "Usage",
    "UsageParser",
    "estimate_tokens",
    "is_unexpected",
    "parser_for",
    "with_estimated_input",
]

#: What reads the answer of an endpoint, by whether the answer is an event stream.
PARSERS: Final[Mapping[tuple[Endpoint, bool], Callable[[], UsageParser]]] = {
    (Endpoint.MESSAGES, True): lambda: StreamParser(anthropic.AnthropicStream()),
    (Endpoint.MESSAGES, False): lambda: BodyParser(anthropic.read_body),
    (Endpoint.CHAT_COMPLETIONS, True): lambda: StreamParser(openai_chat.ChatStream()),
    (Endpoint.CHAT_COMPLETIONS, False): lambda: BodyParser(openai_chat.read_body),
    (Endpoint.RESPONSES, True): lambda: StreamParser(openai_responses.ResponsesStream()),
    (Endpoint.RESPONSES, False): lambda: BodyParser(openai_responses.read_body),
}


def parser_for(endpoint: Endpoint, *, stream: bool, status: int = 200) -> UsageParser:
    """A fresh parser for one answer.

    `stream`: the answer is an event stream by its Content-Type, whatever was asked for. From `status` 400
    on the answer is an error, which bills nothing; endpoints that bill nothing give zero tokens.
    """
    if is_unexpected(status):
        return FreeParser()
    if status >= 400:
        return BodyParser(read_error)
    return PARSERS.get((endpoint, stream), FreeParser)()
