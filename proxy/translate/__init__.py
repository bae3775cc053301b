"""Translates calls between protocols: requests, answers, streams and errors. Pure."""

from collections.abc import Callable, Mapping
from typing import Final

from data.model import Endpoint, Protocol
from proxy.errors import Untranslatable
from proxy.translate.chat_over_messages import ChatOverMessages
from proxy.translate.counting import estimate_input_tokens
from proxy.translate.messages_over_chat import MessagesOverChat
from proxy.translate.translation import Context, Streamed, Translation

__all__ = ["TRANSLATIONS", "Context", "Streamed", "Translation", "Untranslatable", "estimate_input_tokens"]

#: Who translates, by what the client calls and what the provider speaks.
TRANSLATIONS: Final[Mapping[tuple[Endpoint, Protocol], Callable[[bytes, Context], Translation]]] = {
    (Endpoint.MESSAGES, Protocol.OPENAI): MessagesOverChat,
    (Endpoint.CHAT_COMPLETIONS, Protocol.ANTHROPIC): ChatOverMessages,
}
