"""A client of OpenAI Chat in front of a provider of Anthropic Messages: one call's translation. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.translate.failures import clients_status, openai_error, read_failure
from proxy.translate.from_messages import chat_from_message
from proxy.translate.from_messages_stream import MessagesToChat
from proxy.translate.to_messages import to_messages
from proxy.translate.translation import Context, Streamed

_HEADERS: Final = {"content-type": "application/json", "anthropic-version": "2023-06-01"}


class ChatOverMessages:
    """Translates one call. Raises `Untranslatable` when made."""

    path = "/v1/messages"
    headers: Mapping[str, str] = _HEADERS

    def __init__(self, body: bytes, context: Context) -> None:
        request = to_messages(body, context.model)
        self.body = request.body
        self.stream = request.stream
        self._wants_usage = request.wants_usage
        self._context = context

    def whole(self, body: bytes) -> bytes:
        """Return the completion; an error in OpenAI's form for what is no message."""
        return chat_from_message(body, self._context)

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Return the error in OpenAI's form."""
        status = clients_status(status)
        return status, msgspec.json.encode(openai_error(read_failure(body, status), status))

    def streamed(self) -> Streamed:
        """Return a fresh translator of the stream."""
        return MessagesToChat(self._context, wants_usage=self._wants_usage)
