"""A client of Anthropic Messages in front of a provider of OpenAI Chat: one call's translation. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.translate.failures import anthropic_error, clients_status, read_failure
from proxy.translate.from_chat import message_from_chat
from proxy.translate.from_chat_stream import ChatToMessages
from proxy.translate.to_chat import to_chat
from proxy.translate.translation import Context, Streamed

_HEADERS: Final = {"content-type": "application/json"}


class MessagesOverChat:
    """Translates one call. Raises `Untranslatable` when made."""

    path = "/v1/chat/completions"
    headers: Mapping[str, str] = _HEADERS

    def __init__(self, body: bytes, context: Context) -> None:
        request = to_chat(body, context.model)
        self.body = request.body
        self.stream = request.stream
        self._request = request
        self._context = context

    def whole(self, body: bytes) -> bytes:
        """Return the message; an error in Anthropic's form for what is no answer."""
        request = self._request
        return message_from_chat(body, self._context, request.stop_sequences, shows_thinking=request.shows_thinking)

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Return the error in Anthropic's form."""
        status = clients_status(status)
        return status, msgspec.json.encode(anthropic_error(read_failure(body, status), status))

    def streamed(self) -> Streamed:
        """Return a fresh translator of the stream."""
        request = self._request
        return ChatToMessages(self._context, request.stop_sequences, shows_thinking=request.shows_thinking)
