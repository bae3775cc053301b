"""What can go wrong in the alert engine.

EngineError
├── RuleError         a rule document has faults, all of them listed
├── NotFound          no rule, incident or channel of that id
├── StaleVersion      somebody else changed it meanwhile; read it again
├── Refused           what was asked makes no sense in the present state
├── SecretUnreadable  a stored secret was encrypted with another key
└── DeliveryError     a channel could not deliver; `permanent` says whether trying again can help
"""

from collections.abc import Iterable
from typing import NamedTuple


class EngineError(Exception):
    """Base of this package's errors."""


class Fault(NamedTuple):
    """One thing wrong with a document: where (`when.all[0].metric`; '' for the whole) and what, in plain words."""

    path: str
    message: str


class RuleError(EngineError):
    """A rule document has faults; `faults` lists all of them, the text shows one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{f.path}: {f.message}" if f.path else f.message for f in self.faults))


class NotFound(EngineError):
    """No rule, incident or channel of that id."""


class StaleVersion(EngineError):
    """The object has changed since it was read; `current` is its version now, where that is known."""

    def __init__(self, message: str, *, current: int | None = None) -> None:
        super().__init__(message)
        self.current = current


class Refused(EngineError):
    """The request is well-formed but cannot be met, and the message says why."""


class SecretUnreadable(EngineError):
    """A stored secret was encrypted with another key than this home's."""


class DeliveryError(EngineError):
    """A channel could not deliver a notice.

    `permanent`: trying again cannot help. `retry_after`: seconds the receiver asked to be left alone.
    `gone`: the receiver said that it no longer exists, so that the channel should be disabled.
    `status` and `answer` are what it replied, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        gone: bool = False,
        status: int | None = None,
        answer: str = "",
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after
        self.gone = gone
        self.status = status
        self.answer = answer
