"""What one attempt sends to a provider, and what is wanted of the answer."""

from collections.abc import Callable, Mapping

import msgspec
from multidict import CIMultiDict

from data.model import Endpoint
from proxy.rewriting import Rewriting
from proxy.streamed_body import StreamedBody
from proxy.time_limits import TimeLimits
from proxy.usage import BatchResult


class Outgoing(msgspec.Struct, frozen=True):
    """A request as the provider gets it, and what becomes of its answer.

    `endpoint` is the provider's, by which its answer is read. `may_fail`: an answer that is an error is kept from the
    client, since another attempt may follow. `key` is the provider's configured one, which no error shows the client.
    `marks` are headers that the client's answer gets. A `streamed` body is sent instead of `body`.
    """

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes
    endpoint: Endpoint
    limits: TimeLimits
    rewriting: Rewriting | None = None
    may_fail: bool = False
    marks: Mapping[str, str] = {}
    key: str = ""
    results: Callable[[BatchResult], object] | None = None  # takes those of a batch, where the answer has some
    streamed: StreamedBody | None = None
    aside: Callable[[bytes], object] | None = None  # takes a good answer that bills nothing, for what else it tells
