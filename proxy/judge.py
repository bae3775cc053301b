"""What a breaker hears of a call's attempts: each ends as a success, as a place's failure, or as no news of a place."""

from collections.abc import Callable
from time import time
from typing import Final

from proxy.account import Account
from proxy.breaker import Breaker
from proxy.classify import classify
from proxy.failure import Blame, Failure, FailureClass, failure_of_fault
from proxy.held import Failed
from proxy.journey import Step

#: How long a credential is left alone that is not accepted, or whose quota is gone.
_REFUSED_S: Final = 60.0


class Judge:
    """Judges the attempts of one call; `clock` is the breaker's, in seconds."""

    def __init__(self, breaker: Breaker, clock: Callable[[], float]) -> None:
        self._breaker = breaker
        self._clock = clock

    def failed(self, step: Step, failed: Failed) -> Failure:
        """Say what the failure was, and let the breaker know."""
        if failed.status:
            failure = classify(failed.status, failed.headers, failed.body, now=time())
        else:
            failure = failure_of_fault(failed.error_class)
        self._judge(step, failure)
        return failure

    def answered(self, step: Step, account: Account) -> None:
        """Let the breaker know of an attempt whose answer went to the client, whatever it was."""
        if (fault := account.fault) is None:
            self._breaker.succeeded(step.place, self._clock())
        elif fault.blames_provider:
            known = account.status >= 400
            self._judge(step, classify(account.status, {}, now=0) if known else failure_of_fault(fault.error_class))

    def _judge(self, step: Step, failure: Failure) -> None:
        breaker, now = self._breaker, self._clock()
        match failure.handling.blame:
            case Blame.CREDENTIAL if failure.kind is FailureClass.AUTH and step.credential < 0:
                pass  # the caller's own, which says nothing of the place
            case Blame.CREDENTIAL:
                usual = 0.0 if failure.kind is FailureClass.RATE_LIMITED else _REFUSED_S
                breaker.rest(step.place, now + (usual if failure.retry_after_s is None else failure.retry_after_s))
            case Blame.PROVIDER:
                breaker.failed(step.place, now)
            case Blame.NONE:
                breaker.succeeded(step.place, now)
