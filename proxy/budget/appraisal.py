"""What calls may cost at the places they may be sent to: their demand at the prices of the day."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from data.ceilings import Ceiling
from data.model import Endpoint
from data.pricing import PriceBook
from proxy.budget.demand import Demand, Limits, demand
from proxy.budget.worst_case import BatchWorst, Worst, worst_case
from proxy.request import clean

_MAX_MODEL: Final = 200
_DAY_S: Final = 86_400
_RATES_KEPT: Final = 4096


class _Call(msgspec.Struct):
    model: str = ""
    max_tokens: int = 0
    speed: str | None = None
    inference_geo: str | None = None


class _Item(msgspec.Struct):
    params: msgspec.Raw = msgspec.Raw()


class _Batch(msgspec.Struct):
    requests: list[_Item] = []
    input_file_id: msgspec.Raw = msgspec.Raw()  # OpenAI's calls lie in a file


_BATCH: Final = msgspec.json.Decoder(_Batch)
_CALL: Final = msgspec.json.Decoder(_Call)


class Appraiser:
    """Knows the prices. `assumed_output`: output tokens of a call that does not limit them."""

    def __init__(self, prices: PriceBook, assumed_output: int) -> None:
        self._prices = prices
        self._assumed_output = assumed_output
        self._rates = lru_cache(_RATES_KEPT)(self._look_up)

    def worst(self, asked: Demand, *, provider: str, protocol: str, model: str, now_s: float) -> Worst:
        """Return the most a call may cost at one place, with all models that it names. `protocol` is the provider's."""

        def alone(demand: Demand, model: str) -> Worst:
            return self._alone(demand, provider=provider, protocol=protocol, model=model, now_s=now_s)

        worst = alone(asked, model)
        if not asked.others:
            return worst
        parts = [worst.nano]
        for other in asked.others:
            speed = other.speed or asked.speed
            share = replace(asked, output_tokens=other.output_tokens, answers=other.answers, speed=speed)
            parts.append(alone(share, clean(other.model, _MAX_MODEL)).nano)
        known = [nano for nano in parts if nano is not None]
        return replace(worst, nano=sum(known) if len(known) == len(parts) else None, shared=True)

    def _alone(self, asked: Demand, *, provider: str, protocol: str, model: str, now_s: float) -> Worst:
        """The same of one model."""
        if not asked.bills:
            return Worst()
        kind = (asked.service_tier, asked.speed, asked.inference_geo)
        rates = self._rates(provider, protocol, model, kind, now_s // _DAY_S)
        window = self._prices.window(provider, protocol, model) if asked.open_ended else None
        return worst_case(asked, rates, window, self._assumed_output)

    def _look_up(
        self, provider: str, protocol: str, model: str, kind: tuple[str, str, str], day: float
    ) -> tuple[Ceiling, ...]:
        service_tier, speed, inference_geo = kind
        return self._prices.ceilings(
            provider=provider,
            protocol=protocol,
            model=model,
            at=datetime.fromtimestamp(day * _DAY_S, UTC),
            service_tier=service_tier,
            speed=speed,
            inference_geo=inference_geo,
        )

    def batch(self, body: bytes, *, provider: str, protocol: str, now_s: float) -> BatchWorst | None:
        """Return the most that all calls of a new batch may cost together; None where it does not tell.

        A batch is charged call by call when its results are fetched.
        """
        try:
            batch = _BATCH.decode(body)
            items = [(item.params, _CALL.decode(item.params)) for item in batch.requests]
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            return None
        if batch.input_file_id or not items:
            return None
        sums = dict[str, int | None]()
        for params, call in items:
            limits = Limits(
                max_tokens=max(call.max_tokens, 0),
                service_tier="batch",
                speed=call.speed or "",
                inference_geo=call.inference_geo or "",
            )
            asked = demand(bytes(params), Endpoint.MESSAGES, limits)
            model = clean(call.model, _MAX_MODEL)
            worst = self.worst(asked, provider=provider, protocol=protocol, model=model, now_s=now_s)
            before = sums.get(model, 0)
            sums[model] = None if before is None or worst.nano is None else before + worst.nano
        return BatchWorst(sums)
