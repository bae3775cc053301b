"""What can go wrong in the proxy.

ProxyError
├── BodyTooLarge      the request's body is over the limit
├── ClientGone        the client hung up before its request was complete
├── TelemetryUnavailable  metrics are to be pushed, and what that needs is not installed
├── UnexpectedStatus  a provider answered with a status that cannot be passed on
├── UnreadableBody    a coded body cannot be decoded for reading
└── Untranslatable    a request asks for what the provider's protocol has no counterpart of
"""


class ProxyError(Exception):
    """Base of this package's errors."""


class BodyTooLarge(ProxyError):
    """The request's body is longer than `max_body_bytes`."""


class ClientGone(ProxyError):
    """The client hung up before its request was complete."""


class TelemetryUnavailable(ProxyError):
    """Metrics are to be pushed, and the optional package that makes OTLP messages is not installed."""


class UnexpectedStatus(ProxyError):
    """A provider switched protocols unasked, or its status is none (below 200)."""


class UnreadableBody(ProxyError):
    """A body's content coding is unknown, or its bytes do not follow it."""


class Untranslatable(ProxyError):
    """A request asks for what the provider's protocol cannot say; `field` is where, in the client's own terms."""

    def __init__(self, field: str, why: str) -> None:
        self.field = field
        self.why = why
        super().__init__(f"{field}: {why}")
