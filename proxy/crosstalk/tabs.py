"""What conversations cost: the ledger's records of their calls, noted as they are closed."""

import asyncio
from decimal import Decimal

from data.model import LedgerRecord


class Tab:
    """The records of one conversation. Its calls are made one after the other."""

    def __init__(self) -> None:
        self.spent: Decimal | None = None  # US dollars of all calls so far, also of those that failed; None: no price
        self._records: list[LedgerRecord] = []  # of the turn that goes on
        self._more = asyncio.Event()

    def begin(self) -> None:
        """A turn begins."""
        self._records.clear()
        self._more.clear()

    def add(self, record: LedgerRecord) -> None:
        """A call has been closed."""
        if record.cost_usd is not None:
            self.spent = (self.spent or Decimal(0)) + record.cost_usd
        self._records.append(record)
        self._more.set()

    async def cost(self, request_id: str, status: int, limit_s: float) -> Decimal | None:
        """Return what a call that was answered with `status` cost with all its attempts, None where that is not known.

        Its records come with its answer; `limit_s` is for what should never happen.
        """
        try:
            async with asyncio.timeout(limit_s):
                while not (found := self._closed(request_id, status)):
                    await self._next()
        except TimeoutError:
            return None
        costs = [record.cost_usd for record in found]
        return sum((cost for cost in costs if cost is not None), Decimal(0)) if None not in costs else None

    async def settled(self, limit_s: float) -> None:
        """Wait until some record of the turn's call is there, which was broken off."""
        try:
            async with asyncio.timeout(limit_s):
                while not self._records:
                    await self._next()
        except TimeoutError:
            return

    async def _next(self) -> None:
        self._more.clear()
        await self._more.wait()

    def _closed(self, request_id: str, status: int) -> list[LedgerRecord]:
        """All attempts of a call, once the one with the answer's status is there."""
        found = [record for record in self._records if record.request_id == request_id]
        return found if any(record.status == status for record in found) else []


class Tabs:
    """The tabs of the conversations that run here, by their ids."""

    def __init__(self) -> None:
        self._tabs: dict[str, Tab] = {}

    def open(self, session: str) -> Tab:
        """Begin to note a conversation's records."""
        self._tabs[session] = tab = Tab()
        return tab

    def close(self, session: str) -> None:
        """Note them no more."""
        self._tabs.pop(session, None)

    def closed(self, record: LedgerRecord) -> None:
        """Note a record of any call, if it is of a conversation that runs here."""
        if self._tabs and (tab := self._tabs.get(record.session)) is not None:
            tab.add(record)
