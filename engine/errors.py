"""What can go wrong in the alert engine.

EngineError
├── RuleError         a rule document has faults, all of them listed
├── NotFound          no rule, incident or channel of that id
├── StaleVersion      somebody else changed it meanwhile; read it again
│   └── Overtaken     between the reading and the storing, so that it can be tried again at once
├── Refused           what was asked makes no sense in the present state
├── TemplateFault     a template that somebody wrote cannot be filled in
├── SecretUnreadable  a stored secret was encrypted with another key
├── Unwell            alerts cannot be relied on now
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


class Overtaken(StaleVersion):
    """What was read has changed before the change of it was stored; nothing was stored, and it can be tried again."""


class Refused(EngineError):
    """The request is well-formed but cannot be met, and the message says why."""


class TemplateFault(EngineError):
    """A template cannot be read or filled in, takes too long or grows too large; the message says what is wrong.

    `line` is where, from 1, as far as it is known.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class SecretUnreadable(EngineError):
    """A stored secret was encrypted with another key than this home's."""


class Unwell(EngineError):
    """Alerts cannot be relied on now, and the message says why."""


class DeliveryError(EngineError):
    """A channel could not deliver a notice.

    `permanent`: trying again cannot help. `retry_after`: seconds the receiver asked to be left alone.
    `gone`: the receiver said that it no longer exists, so that the channel should be disabled.
    `status` and `answer` are what it replied, if it did. `tried`: something was sent, or would have been.
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
        tried: bool = True,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after
        self.gone = gone
        self.status = status
        self.answer = answer
        self.tried = tried
