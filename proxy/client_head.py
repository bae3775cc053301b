"""What the headers of a request say, worked out once for all requests that come with the same ones, as a client's do.

Only `Content-Length` may differ. Heads hold credentials: they are kept in memory alone, and are never shown. That the
headers of a request are known tells a stranger nothing: it takes all of them, the secret included, to be found.
"""

from functools import cached_property
from typing import Final

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.admission.gate import Caller
from proxy.attribution import said_by
from proxy.headers import passed_headers, unsendable_header, without_virtual_keys
from proxy.secrets import presented_in

_RawHeaders = tuple[tuple[bytes, bytes], ...]
#: Clients of so many kinds are known at once.
MOST_HEADS: Final = 512
#: Longer ones are read anew each time.
_MOST_FIELDS: Final = 100
_LENGTHS: Final = frozenset({b"Content-Length", b"content-length"})


class Head:
    """The headers of one client's requests."""

    def __init__(self, headers: CIMultiDictProxy[str], raw: _RawHeaders) -> None:
        self.unsendable = unsendable_header(raw)  # the name of a header that cannot be sent on; '' for none
        self.said = said_by(headers)
        self.secrets = presented_in(headers)
        self.passed = passed_headers(headers)  # what a provider may be sent of them; copy it to change it
        self.caller: Caller | None = None  # the last one that was found for them

    @cached_property
    def passed_without_keys(self) -> CIMultiDict[str]:
        """The same without this proxy's own keys."""
        return without_virtual_keys(self.passed)


class Heads:
    """The heads that are known. Use it from the event loop."""

    def __init__(self) -> None:
        self._known: dict[_RawHeaders, Head] = {}

    def of(self, request: web.Request) -> Head:
        """Return the request's head."""
        raw = request.raw_headers
        key = tuple([field for field in raw if field[0] not in _LENGTHS])
        head = self._known.get(key)
        if head is None:
            head = Head(request.headers, raw)
            if len(key) <= _MOST_FIELDS:
                self._keep(key, head)
        return head

    def _keep(self, key: _RawHeaders, head: Head) -> None:
        if len(self._known) >= MOST_HEADS:
            del self._known[next(iter(self._known))]  # the oldest; one that is in use comes back at once
        self._known[key] = head
