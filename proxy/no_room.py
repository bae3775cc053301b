"""Places whose own budgets have no room for a call: it goes on to the next, and says where it has been."""

import logging

from aiohttp import web

from data.model import Protocol, RequestStart
from proxy.budget.reservation import Refusal
from proxy.refusals import refusal
from proxy.served_by import no_room_at

_log = logging.getLogger(__name__)


class NoRoom(Exception):
    """A budget has no room for the attempt that would have begun as `start`."""

    def __init__(self, why: Refusal, start: RequestStart) -> None:
        super().__init__(why.message)
        self.why = why
        self.start = start


class Turned:
    """What turned one call away so far. `first`: the refusal that it ends with where nothing else answers."""

    __slots__ = ("first", "places")

    def __init__(self) -> None:
        self.first: Refusal | None = None
        self.places: list[RequestStart] = []

    def away(self, by: NoRoom, *, bound: bool = False) -> bool:
        """Take note of a refusal; True where another place may have room, and the call is not `bound` to its own."""
        self.first = self.first or by.why
        if bound or not by.why.of_place:
            return False
        self.places.append(by.start)
        _log.info("no room at %s: %s", by.start.provider, by.why.message, extra={"record": by.start.id})
        return True

    @property
    def marks(self) -> dict[str, str]:
        """What the answer says of these places."""
        return no_room_at(self.places) if self.places else {}


def no_room(protocol: Protocol, why: Refusal) -> web.Response:
    """Return the answer to a call that its budgets have no room for."""
    answer = refusal(protocol, why.status, why.message, code=why.why, retry_after_s=why.retry_after_s)
    answer.headers["x-should-retry"] = "true" if why.should_retry else "false"
    return answer
