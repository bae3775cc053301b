"""Leads clients to the proxy for a batch's results: a provider names their address in full, and SDKs go there.

Nothing but the begin of that address changes in an answer. Pure.
"""

import re
from typing import Final

import msgspec

#: A longer answer than this is no list of batches, and passes unchanged.
MAX_BYTES: Final = 8 * 1024 * 1024
_RESULTS: Final = re.compile(
    rb'("results_url"\s*:\s*")https?://[^"\\/]+(?:/[^"\\]*)?(/v1/messages/batches/[^"\\/]+/results")'
)


class Relocation:
    """Holds an answer until it is whole and gives it with its addresses changed; `origin` is where the proxy is."""

    def __init__(self, origin: str) -> None:
        """`origin`: scheme, host and what the client's paths begin with, as `http://localhost:8082/p/web`."""
        # as it stands within a JSON string: the client may have put anything into it
        self._origin = msgspec.json.encode(origin.encode("utf-8", "replace").decode())[1:-1]
        self._held: bytearray | None = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take more of the answer; give what may go on."""
        if self._held is None:
            return data
        self._held += data
        return self._given_up() if len(self._held) > MAX_BYTES else b""

    def flush(self) -> bytes:
        """Give the whole answer."""
        held, self._held = self._held, None
        return relocated(bytes(held), self._origin) if held else b""

    def broken(self) -> bytes:
        """Add nothing: an answer that breaks off has no end."""
        return b""

    def _given_up(self) -> bytes:
        held, self._held = self._held, None
        return bytes(held or b"")


def relocated(body: bytes, origin: bytes) -> bytes:
    """Return the body with the addresses of results at `origin`."""
    return _RESULTS.sub(lambda found: found[1] + origin + found[2], body)
