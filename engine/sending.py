"""One send through an opened channel, and what its receiver said of it."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from data.errors import StoreError
from data.queries import notifications as rows
from data.queries.notifications import AttemptRow
from data.store import Store
from engine import notice, outbox
from engine.channels import Delivery, Receipt, Wire
from engine.channels.channel import ANSWER_CHARS, worded
from engine.claims import Claim
from engine.errors import DeliveryError
from engine.picture import picture, wanted
from engine.ready import Ready
from engine.secrets import redacted

#: One send may take this long, whatever the channel.
SEND_TIMEOUT_S = 15.0
_log = logging.getLogger(__name__)


class Sending:
    """Sends claimed notifications; never raises for what a channel or its receiver does."""

    def __init__(
        self,
        store: Store,
        wire: Wire,
        *,
        now: Callable[[], datetime],
        timeout_s: float = SEND_TIMEOUT_S,
        public_url: str = "",
    ) -> None:
        self._store, self._wire, self._now = store, wire, now
        self._timeout_s, self.public_url = timeout_s, public_url

    async def send(
        self, claim: Claim, ready: Callable[[str], Ready], instead: DeliveryError | None = None
    ) -> tuple[AttemptRow, DeliveryError | None]:
        """The attempt with its answer, and why it failed, if it did; with `instead` nothing is sent, and that is why.

        `ready` gives the channel of a name; raises DeliveryError.
        """
        if instead:
            return replace(claim.attempt, finished_at=self._now(), error=str(instead)), instead
        begun = time.perf_counter()
        receipt, failure = await self._said(claim, ready)
        finished = replace(
            claim.attempt,
            finished_at=self._now(),
            duration_ms=(time.perf_counter() - begun) * 1000,
            status=failure.status if failure else receipt.status,
            answer=(failure.answer if failure else receipt.answer)[:ANSWER_CHARS],
            error=str(failure)[:ANSWER_CHARS] if failure else "",
            provider_id=receipt.provider_id,
        )
        return finished, failure

    async def _said(self, claim: Claim, ready: Callable[[str], Ready]) -> tuple[Receipt, DeliveryError | None]:
        """What the channel says; every fault becomes a DeliveryError whose texts hold no secret."""
        row = claim.row
        try:
            channel = ready(row.channel)
            earlier = await self._earlier(claim) if channel.follows and row.alert_id else ""
        except DeliveryError as error:
            return Receipt(), error
        except StoreError as error:
            return Receipt(), DeliveryError(f"the store is away: {error}")
        delivery = Delivery(row.id, claim.attempt.started_at, claim.attempt.attempt, earlier)
        try:
            said = notice.linked(notice.decode(row.notice), self.public_url)
            if channel.kind.shows_pictures and wanted(said) and (shown := await picture(self._store, said)):
                delivery = replace(delivery, picture=shown.png, alt=shown.alt)
            async with asyncio.timeout(self._timeout_s):
                if channel.config.message:
                    said = await asyncio.to_thread(worded, channel.config, said)
                receipt = await channel.kind.notify(channel.config, said, delivery, self._wire)
        except DeliveryError as error:
            return Receipt(), _without_secrets(error, channel.secrets)
        except TimeoutError:
            return Receipt(), DeliveryError(f"no answer within {self._timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - a channel's own fault must not leave its notice without a result
            _log.error("channel %r failed with %s", row.channel, type(error).__name__)
            return Receipt(), DeliveryError(f"the channel failed: {type(error).__name__}")
        return replace(receipt, answer=_kept(receipt.answer, channel.secrets)), None

    async def _earlier(self, claim: Claim) -> str:
        return await asyncio.to_thread(rows.earlier, self._store, claim.row.alert_id, claim.row.channel)


def too_many(claim: Claim) -> DeliveryError | None:
    """Why a notification is given up whose results keep being lost: it may be what kills its sender."""
    if claim.attempt.attempt <= outbox.MOST_CLAIMS:
        return None
    return DeliveryError("given up: the results of too many attempts were lost", permanent=True)


def _without_secrets(error: DeliveryError, secrets: dict[str, Any]) -> DeliveryError:
    return DeliveryError(
        _kept(str(error), secrets),
        permanent=error.permanent,
        retry_after=error.retry_after,
        gone=error.gone,
        status=error.status,
        answer=_kept(error.answer, secrets),
        tried=error.tried,
    )


def _kept(text: str, secrets: dict[str, Any]) -> str:
    """A receiver's words as they may be stored: mail servers also answer in bytes that are no UTF-8."""
    return redacted(text, secrets).encode("utf-8", "replace").decode()
