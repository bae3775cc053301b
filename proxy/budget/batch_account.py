"""On whose account a batch was made, and what it may cost: what the counters' file keeps of it for later budgets."""

from collections.abc import Iterator, Mapping
from typing import Final, Self

import msgspec
from msgspec.structs import replace

from data.budget_scope import values, who_asks
from data.budgets import Scope
from data.model import RequestStart
from proxy.budget.money import MOST_NANO


class BatchAccount(msgspec.Struct, frozen=True):
    """The call that made a batch, and the most that the batch's calls may cost by the model that they ask."""

    start: RequestStart
    worst: Mapping[str, int | None]

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """Read what `encode` made; None for anything else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, ValueError):
            return None

    def encode(self) -> str:
        """Return it as text."""
        return _ENCODER.encode(self).decode()

    def shares(self, scope: Scope) -> Iterator[tuple[str, int]]:
        """The most that may come to count in each counter of a scope; a counter may come several times."""
        for model, nano in self.worst.items():
            for value in values(scope, who_asks(replace(self.start, model_requested=model))):
                yield value, min(nano or 0, MOST_NANO)


_ENCODER: Final = msgspec.json.Encoder()
