"""The kinds of failure that routing tells apart, and what may be done about each. `proxy/classify.py` reads them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec


class FailureClass(StrEnum):
    """Why an attempt failed."""

    OVERLOADED = "overloaded"  # the provider has no room for anybody
    RATE_LIMITED = "rate_limited"  # this credential has asked too much for now
    QUOTA = "quota"  # this credential has nothing left to spend
    AUTH = "auth"  # this credential is not accepted
    TIMEOUT = "timeout"  # a time limit ended it, ours or the provider's
    UNREACHABLE = "unreachable"  # no connection
    ERROR = "error"  # the provider failed, or its answer is none
    CONTEXT_LENGTH = "context_length"  # the call is too long for the model
    CONTENT_POLICY = "content_policy"  # the provider will not have the content
    NOT_FOUND = "not_found"  # there is no such model here
    BAD_REQUEST = "bad_request"  # the call is wrong; nobody will take it
    INTERNAL = "internal"  # the proxy's own fault, or the client's


class Blame(StrEnum):
    """What a failure says about the model and the credential it happened to."""

    NONE = "none"  # they work
    CREDENTIAL = "credential"  # the credential is to rest
    PROVIDER = "provider"  # the model is in trouble
    UNKNOWN = "unknown"  # nothing was learnt


class Handling(msgspec.Struct, frozen=True):
    """What may follow a failure. `list` is the setting under `fallbacks` that is looked up; '' for no fallback."""

    blame: Blame
    same: bool = False  # the same credential again, after a wait
    other: bool = False  # another credential of the same provider
    peers: bool = False  # the route's other targets, which are as good
    list: str = ""

    @property
    def of_credential(self) -> bool:
        """Whether another credential need not wait: it is not concerned."""
        return self.blame is Blame.CREDENTIAL


def _handling(blame: Blame, fallbacks: str, *, same: bool) -> Handling:
    return Handling(blame, same=same, other=True, peers=True, list=fallbacks)


HANDLING: Final[Mapping[FailureClass, Handling]] = {
    FailureClass.OVERLOADED: _handling(Blame.PROVIDER, "overloaded", same=True),
    FailureClass.RATE_LIMITED: _handling(Blame.CREDENTIAL, "rate_limited", same=True),
    FailureClass.QUOTA: _handling(Blame.CREDENTIAL, "rate_limited", same=False),
    FailureClass.AUTH: _handling(Blame.CREDENTIAL, "error", same=False),
    FailureClass.TIMEOUT: _handling(Blame.PROVIDER, "timeout", same=True),
    FailureClass.UNREACHABLE: _handling(Blame.PROVIDER, "error", same=True),
    FailureClass.ERROR: _handling(Blame.PROVIDER, "error", same=True),
    FailureClass.CONTEXT_LENGTH: Handling(Blame.NONE, list="context_length"),
    FailureClass.CONTENT_POLICY: Handling(Blame.NONE, list="content_policy"),
    FailureClass.NOT_FOUND: Handling(Blame.NONE, peers=True, list="error"),
    FailureClass.BAD_REQUEST: Handling(Blame.NONE),
    FailureClass.INTERNAL: Handling(Blame.UNKNOWN),
}


class Failure(msgspec.Struct, frozen=True):
    """A failed attempt. `code` is the provider's word for it; `retry_after_s` counts from when it failed."""

    kind: FailureClass
    status: int = 0  # the provider's; 0 where it gave none
    code: str = ""
    retry_after_s: float | None = None
    should_retry: bool | None = None  # what the provider itself says about the same call again

    @property
    def handling(self) -> Handling:
        """What may follow."""
        return HANDLING[self.kind]

    @property
    def repeatable(self) -> bool:
        """Whether the same call may be made again with the same credential."""
        if self.should_retry is None or self.kind in {FailureClass.QUOTA, FailureClass.AUTH, FailureClass.INTERNAL}:
            return self.handling.same
        return self.should_retry


#: What the proxy itself calls an attempt that ended without a provider's complete answer (`Fault.error_class`).
FAULTS: Final[Mapping[str, FailureClass]] = {
    "connect_timeout": FailureClass.TIMEOUT,
    "first_byte_timeout": FailureClass.TIMEOUT,
    "idle_timeout": FailureClass.TIMEOUT,
    "total_timeout": FailureClass.TIMEOUT,
    "provider_unreachable": FailureClass.UNREACHABLE,
    "provider_broke_off": FailureClass.ERROR,
    "unexpected_status": FailureClass.ERROR,
    "unreadable_answer": FailureClass.ERROR,
}


def failure_of_fault(error_class: str) -> Failure:
    """Return the failure that the proxy calls `error_class`; what it does not know is its own or the client's."""
    return Failure(FAULTS.get(error_class, FailureClass.INTERNAL), code=error_class)
