"""One call's attempts: place after place, until one answers or the client has seen something. Each leaves its row."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time

import msgspec
from aiohttp import web
from msgspec.structs import replace

from data.model import Endpoint, RequestStart
from data.tasks import Tasks
from proxy.account import Account
from proxy.admission.gate import Admitted, Gate
from proxy.batch_files import BatchFiles
from proxy.batches import Batches, origin_of
from proxy.books import Books
from proxy.breaker import Breaker
from proxy.budget.budgets import Budgets
from proxy.budget.reservation import Refusal
from proxy.call import Call
from proxy.errors import UnreadableBody, Untranslatable
from proxy.exchange import Exchange
from proxy.held import Failed
from proxy.hold import BatchHold, Hold
from proxy.journey import Allows, Journey, Rotation, Step
from proxy.judge import Judge
from proxy.no_room import NoRoom, Turned, no_room
from proxy.outgoing import Outgoing
from proxy.provider_client import ProviderClient
from proxy.purse import Purse
from proxy.refusals import refusal
from proxy.routing import Plan
from proxy.secrets import scrubbed, secrets_of
from proxy.sending import Sending, counted, outgoing
from proxy.served_by import served_by
from proxy.standing import Standing

_RETRY_AFTER_S = 5
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Means:
    """What calls are forwarded with.

    `begun` is told of each attempt; `closing` is set while each answer is its connection's last; `trouble`: why the
    ledger takes no calls, or ''.
    """

    client: ProviderClient
    books: Books
    batches: Batches
    batch_files: BatchFiles
    gate: Gate
    budgets: Budgets
    tasks: Tasks
    begun: Callable[[RequestStart, Account], None]
    breaker: Breaker
    rotation: Rotation
    closing: asyncio.Event
    trouble: str = ""


class NotWritten(Exception):
    """The ledger takes no calls now."""


class Attempts:
    """The attempts of one call by its plan."""

    def __init__(self, call: Call, plan: Plan, means: Means, standing: Standing, admitted: Admitted) -> None:
        self.admitted = admitted
        self.used_tokens = 0  # of all attempts so far
        self._call = call
        self._plan = plan
        self._means = means
        self._standing = standing
        self._clock = asyncio.get_running_loop().time
        self._exchange: Exchange | None = None
        self._gone = False
        self._last: Failed | None = None
        self._unsent: web.Response | None = None  # why a place, the first such one, cannot be sent the call
        self._turned = Turned()
        self._judge = Judge(means.breaker, self._clock)
        self._purse: Purse | None = None
        self._journey = Journey(
            plan,
            means.breaker,
            means.rotation,
            model=call.facts.model,
            session=call.who.session,
            caller=call.who.key,
            longest_wait_s=standing.config.proxy.retry_wait_s,
            allows=_allows(call, plan, admitted),
        )

    def client_gone(self) -> None:
        """Stop writing to the client; what is under way is read for its counts alone."""
        self._gone = True
        if self._exchange is not None:
            self._exchange.client_gone()

    async def run(self) -> web.StreamResponse:
        """Return the client's answer."""
        if self._plan.cap_usd is not None or self._plan.cap_factor is not None:
            self._purse = purse = await Purse.of(self._call, self._means.budgets, self._standing.appraiser)
            # no method of this object: calls must leave no cycles behind
            self._journey.worst = lambda candidate: purse.worst(candidate, time()).nano
        step = self._journey.first(self._clock())
        while step is not None:
            ended = await self._attempt(step)
            if ended is None:
                step = self._journey.instead(step, self._clock())
            elif isinstance(ended, Failed):
                self._last = ended
                if (step := self._after(step, ended)) is not None:
                    self._means.books.flush()  # what the failed attempt held is free for the next one
            else:
                return ended
        return self._nothing_left()

    def _nothing_left(self) -> web.StreamResponse:
        """Answer with the last failure, else with why there was no room, or none can be sent this, or when to ask."""
        if self._last is not None:
            return self._last.answer
        if self._turned.first is not None:
            answer = self._own(no_room(self._call.protocol, self._turned.first))
            answer.headers.update(self._turned_marks())
            return answer
        if self._unsent is not None:
            return self._unsent
        wait_s = self._journey.retry_in_s(self._clock())
        message = f"The providers for this call are left alone after failures: {self._journey.why}."
        wait = max(1, round(wait_s))
        return self._own(refusal(self._call.protocol, 503, message, code="circuit_open", retry_after_s=wait))

    def _after(self, step: Step, failed: Failed) -> Step | None:
        if self._gone:
            return None
        failure = self._judge.failed(step, failed)
        return None if self._call.spent else self._journey.after(step, failure, self._clock())

    async def _attempt(self, step: Step) -> web.StreamResponse | Failed | None:
        """Ask a place when it is time to; None where it cannot be sent the call, or its own budget has no room."""
        try:
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            return await self._asked(step)
        finally:
            if step.probe:  # most ways out tell the breaker nothing: no provider was asked, or the client is gone
                self._means.breaker.released(step.place)

    async def _asked(self, step: Step) -> web.StreamResponse | Failed | None:
        """Write down that a place is asked, and ask it."""
        if step.candidate.translates and self._call.endpoint is Endpoint.COUNT_TOKENS:
            return self._own(estimated_count(await counted(self._call)))
        try:
            account, out = await self._begun(step)
        except (UnreadableBody, Untranslatable) as error:
            if self._unsent is None:
                self._unsent = self._own(refusal(self._call.protocol, 400, f"{error}.", code="cannot_be_sent"))
            return None
        except NoRoom as error:
            # what becomes of a batch is asked of the place that the route comes first to
            goes_on = self._turned.away(error, bound=self._call.asked.makes_batch)
            return None if goes_on else self._nothing_left()
        except NotWritten as error:
            return self._own(self._ledger_fails(error))
        drains = self._standing.config.proxy.on_disconnect == "drain"
        self._exchange = Exchange(self._call.request, account, out, self._means.closing, drains=drains)
        if self._gone:
            self._exchange.client_gone()
        try:
            ended = await self._exchange.run(self._means.client)
        finally:
            self.used_tokens += account.tokens
        if not isinstance(ended, Failed):
            self._judge.answered(step, account)
        return ended

    async def _begun(self, step: Step) -> tuple[Account, Outgoing]:
        """Return the attempt's account, which the ledger knows of, and what is sent.

        Raises `UnreadableBody`, `Untranslatable`, `NoRoom`, and `NotWritten`: what is not written down is not sent on.
        """
        call, means, provider = self._call, self._means, step.candidate.provider
        key = provider.credentials[step.credential] if step.credential >= 0 else ""
        secrets = secrets_of(call.head.secrets, call.request.rel_url, key)
        start = scrubbed(call.start(step, self._journey.tried), secrets)
        marks = self._marks(start)
        sending = Sending(key, self._journey.is_strange(step), self._journey.more, marks)
        out = await outgoing(call, step, sending)
        if (origin := origin_of(call.asked, provider.name)) is not None:
            fetch = means.batch_files.tied(start, origin)
            out = replace(out, results=means.batches.reader(fetch, origin, secrets))
            out.headers.popall("Range", None)  # a result that is cut in two could be counted in neither part
        elif (aside := means.batch_files.reader(call.asked, provider.name)) is not None:
            out = replace(out, aside=aside)
        hold = await self._hold(start, step) if means.budgets.active else None
        if hold is not None and hold.reservation.counters:
            start = hold.noted(start)
            marks.update(hold.reservation.headers)
        try:
            means.books.ledger.start(start)
        except Exception as error:
            if hold is not None:
                hold.release()
            raise NotWritten(f"{type(error).__name__}: {error}") from error
        means.trouble = ""
        account = Account(start, means.books, self._standing.prices.price, call.arrived, secrets)
        account.hold = hold
        account.streamed = call.streamed
        means.begun(start, account)
        return account, out

    def _ledger_fails(self, error: NotWritten) -> web.Response:
        if not self._means.trouble:
            _log.error("the ledger takes no calls", exc_info=error)
        self._means.trouble = str(error)
        return busy(self._call, "The proxy cannot write its ledger now; ask again.", "ledger_full")

    async def _hold(self, start: RequestStart, step: Step) -> Hold | BatchHold:
        """Hold the attempt's worst case in every budget. Raises `NoRoom`."""
        budgets, standing, candidate = self._means.budgets, self._standing, step.candidate
        if self._purse is None:
            self._purse = await Purse.of(self._call, budgets, standing.appraiser)
        held: Hold | BatchHold | Refusal
        if self._call.asked.makes_batch:
            held = await self._purse.hold_batch(start, candidate, time())
        else:
            held = self._purse.hold(start, candidate, standing.prices.price, time())
        if isinstance(held, Refusal):
            raise NoRoom(held, start)
        return held

    def _marks(self, start: RequestStart) -> dict[str, str]:
        quotas = self._quotas()
        return {**quotas, **served_by(start), **self._turned_marks()} if self._says_who else quotas

    def _turned_marks(self) -> dict[str, str]:
        return self._turned.marks if self._says_who else {}

    @property
    def _says_who(self) -> bool:
        return self._standing.config.proxy.answer_headers

    def _quotas(self) -> dict[str, str]:
        return self.admitted.headers(self._call.protocol, monotonic(), time())

    def _own(self, answer: web.Response) -> web.Response:
        """Give an answer of the proxy itself what every answer says of the key's limits."""
        answer.headers.update(self._quotas())
        return answer


def _allows(call: Call, plan: Plan, admitted: Admitted) -> Allows | None:
    """Return what tells the models that fallbacks may go to; None where there is no fallback, no key or no model."""
    if not plan.fallbacks or admitted.key is None or not call.facts.model:
        return None
    return admitted.key.allows_model


def estimated_count(tokens: int) -> web.Response:
    """Return the answer to a count that the provider cannot make; a header marks it as estimated."""
    body = msgspec.json.encode({"input_tokens": tokens})
    headers = {"x-claude-proxy-estimated": "input_tokens"}
    return web.Response(body=body, content_type="application/json", headers=headers)


def busy(call: Call, message: str, code: str) -> web.Response:
    """Return a refusal that is over in a moment."""
    return refusal(call.protocol, 503, message, code=code, retry_after_s=_RETRY_AFTER_S)
