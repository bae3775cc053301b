"""What a provider says of a batch itself: which one it is, and whether anything of it is still to be charged."""

from collections.abc import Callable
from typing import Any, Final

from proxy.usage import fields
from proxy.usage.usage import Billing, Usage

#: How OpenAI calls a batch that has ended.
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


def read_batch(body: bytes, aside: Callable[[bytes], object] | None = None) -> Usage:
    """Read Anthropic's or OpenAI's description of one batch, which costs nothing; anything else tells nothing.

    `aside` is given the body too, for what else it tells.
    """
    if aside is not None:
        aside(body)
    told = fields.mapping(fields.decode(body))
    return Usage(
        complete=True,
        billing=Billing.FREE,
        response_id=fields.text(told.get("id")),
        nothing_due=_ended_in_vain(told),
    )


def _ended_in_vain(told: dict[str, Any]) -> bool:
    """Whether all of its calls have ended, and none of them was answered."""
    counts = fields.mapping(told.get("request_counts"))
    if told.get("processing_status") == "ended":
        return counts.get("succeeded") == 0
    return told.get("status") in _ENDED and counts.get("completed") == 0
