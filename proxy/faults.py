"""What a failed attempt is called: the status for a client that has no answer yet, and what the ledger says. Pure."""

from enum import StrEnum

import aiohttp
import msgspec

from data.model import Outcome
from proxy.account import Fault
from proxy.errors import BodyTooLarge, ClientGone, UnexpectedStatus
from proxy.time_limits import TimeLimits


class Phase(StrEnum):
    """What an exchange waits for; the value completes "no … within 10 s"."""

    CLIENT_SENDS = "sending client"
    UPLOAD = "provider that takes the request"
    FIRST_BYTE = "answer"
    NEXT_BYTE = "further byte"
    CLIENT = "reading client"


class Situation(msgspec.Struct, frozen=True):
    """How far an attempt had come when it failed. `sent`: the client has been sent something, with `sent_status`.

    `began`: the provider had begun a good answer. `chargeable`: it may charge for what it has, which is that, or the
    whole of a request that it has not refused. `over`: the attempt's time as a whole is up.
    """

    provider: str
    phase: Phase
    limits: TimeLimits
    sent_status: int = 0
    sent: bool = False
    began: bool = False
    chargeable: bool = False
    over: bool = False


def fault_of(error: Exception, at: Situation) -> tuple[int, Fault]:
    """Return the status and the fault that `error` is."""
    if isinstance(error, TimeoutError):
        fault = _overdue(error, at)
        return fault.status or 504, fault
    if isinstance(error, BodyTooLarge | ClientGone):
        status, name = (413, "request_too_large") if isinstance(error, BodyTooLarge) else (400, "incomplete_request")
        return status, Fault(Outcome.ERROR, at.sent_status or status, name, str(error), billed=at.chargeable)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        message = f"The provider {at.provider} cannot be reached ({type(error).__name__})"
        return 502, Fault(Outcome.ERROR, 502, "provider_unreachable", message, billed=False)
    if isinstance(error, UnexpectedStatus):
        return 502, Fault(Outcome.ERROR, 502, "unexpected_status", f"The provider {at.provider} {error}", billed=False)
    if isinstance(error, aiohttp.ClientError | OSError):
        return 502, _broken(error, at)
    status = at.sent_status or 500
    message = "The proxy failed; its log says why."
    return 500, Fault(Outcome.ERROR, status, "proxy_error", message, billed=at.chargeable)


def _broken(error: Exception, at: Situation) -> Fault:
    kind = type(error).__name__
    if at.sent:
        message = f"The answer broke off ({kind})"
        return Fault(Outcome.PARTIAL, at.sent_status, "provider_broke_off", message, billed=at.chargeable)
    message = f"The provider {at.provider} closed the connection without a complete answer ({kind})"
    outcome = Outcome.PARTIAL if at.began or _has_begun(error) else Outcome.ERROR
    return Fault(outcome, 502, "provider_broke_off", message, billed=at.chargeable)


def _overdue(error: TimeoutError, at: Situation) -> Fault:
    limits = at.limits
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        message = f"The provider took no connection within {limits.connect_s:g} s"
        return Fault(Outcome.TIMEOUT, 504, "connect_timeout", message, billed=False)
    if at.over:
        message = f"The call took longer than {limits.total_s:g} s"
        return Fault(Outcome.TIMEOUT, at.sent_status or 504, "total_timeout", message, billed=at.chargeable)
    if at.phase is Phase.CLIENT:
        message = f"The client read nothing for {limits.idle_s:g} s"
        return Fault(Outcome.DISCONNECTED, at.sent_status, "client_too_slow", message, billed=at.chargeable)
    if at.phase is Phase.CLIENT_SENDS:
        message = f"The client sent nothing more of its request for {limits.idle_s:g} s"
        return Fault(Outcome.DISCONNECTED, 408, "client_too_slow", message, billed=at.chargeable)
    if at.phase is Phase.UPLOAD:
        message = f"The provider took nothing more of the request for {limits.idle_s:g} s"
        return Fault(Outcome.TIMEOUT, 504, "idle_timeout", message, billed=at.chargeable)
    first = at.phase is Phase.FIRST_BYTE
    limit_s = limits.first_byte_s if first else limits.idle_s
    name = "first_byte_timeout" if first else "idle_timeout"
    message = f"The provider sent no {at.phase} within {limit_s:g} s"
    return Fault(Outcome.TIMEOUT, at.sent_status or 504, name, message, billed=at.chargeable)


def _has_begun(error: Exception) -> bool:
    """Whether an answer had begun that aiohttp could not read on: its head came, but not by itself."""
    return isinstance(error, aiohttp.ClientResponseError) and not error.message.startswith("Bad status line")
