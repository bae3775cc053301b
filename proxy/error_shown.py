"""What a client reads of a provider's error: the same bytes, without the provider's key, or the client's protocol's."""

from data.model import Protocol
from proxy.echoes import masked_error, without_key
from proxy.refusals import error_body
from proxy.reply import Reply
from proxy.rewriting import Rewriting


class ErrorShown:
    """The error of one attempt, whose answer is not begun yet. `key` is the provider's configured one."""

    def __init__(self, reply: Reply, protocol: Protocol, rewriting: Rewriting | None, key: str) -> None:
        self._reply = reply
        self._protocol = protocol
        self._rewriting = rewriting if rewriting is not None and rewriting.translates else None
        self._key = key

    def shown(self, body: bytes, plain: bytes, coding: str) -> bytes:
        """Return the answer's body for one that is whole, `body` as it came and `plain` decoded."""
        if self._rewriting is not None:
            # an error inside a good answer has no status of its own
            status, translated = self._rewriting.error(max(self._reply.intended, 400), without_key(plain, self._key))
            self._reply.retitle(status)
            return translated
        if (masked := masked_error(body, coding, self._key)) is None:
            return self.not_shown(coding)
        if masked is not body:
            self._reply.rewritten()
        return masked

    def not_shown(self, coding: str) -> bytes:
        """Return an error in place of one that may hold the provider's key where nobody can tell."""
        status = self._reply.intended if self._reply.intended >= 400 else 502
        self._reply.retitle(status)
        message = f"The provider's error is not shown: it cannot be read here (Content-Encoding {coding[:40]!r})."
        return error_body(self._protocol, status, message, "error_not_shown")
