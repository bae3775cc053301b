"""Which provider serves which model, as people write it down. `proxy/plan.py` says how it is applied."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

_STRICT = ConfigDict(extra="forbid")
_Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One place that a call may go to; `model` '' asks for the same model as the client did."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    provider: _Name
    model: str = ""
    weight: Annotated[float, Field(gt=0)] = 1.0


@dataclass(frozen=True, slots=True)
class FallbacksConfig:
    """Where a call goes after a failure, in order, by its kind; `any` where the kind has no list of its own."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    overloaded: tuple[TargetConfig, ...] = ()
    rate_limited: tuple[TargetConfig, ...] = ()
    timeout: tuple[TargetConfig, ...] = ()
    context_length: tuple[TargetConfig, ...] = ()
    content_policy: tuple[TargetConfig, ...] = ()
    error: tuple[TargetConfig, ...] = ()
    any: tuple[TargetConfig, ...] = ()

    @property
    def all(self) -> tuple[TargetConfig, ...]:
        """Every target of every list."""
        lists = (self.overloaded, self.rate_limited, self.timeout, self.context_length, self.content_policy)
        return tuple(target for each in (*lists, self.error, self.any) for target in each)


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """Models that match `model` (a glob) go to `provider`, or to one of `targets` by weight; the first match wins.

    A fallback whose worst case costs more than `cost_cap_usd`, or more than `cost_cap_factor` times the first
    choice's, is left out.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    model: _Name
    provider: str = ""
    send_model: str = ""
    targets: tuple[TargetConfig, ...] = ()
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    fallbacks: FallbacksConfig = field(default_factory=FallbacksConfig)
    cost_cap_usd: Annotated[Decimal, Field(gt=0)] | None = None
    cost_cap_factor: Annotated[float, Field(gt=0)] | None = None

    @property
    def choices(self) -> tuple[TargetConfig, ...]:
        """The targets of a call that has not failed yet."""
        return self.targets or (TargetConfig(self.provider, self.send_model),)


@dataclass(frozen=True, slots=True)
class TiersConfig:
    """What stands for large, middle and small models, as "model" or "provider/model"; '' leaves them as they are.

    `big` is asked for by this name and by every model whose name has "opus" in it, `middle` by "sonnet", `small` by
    "haiku".
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    big: str = ""
    middle: str = ""
    small: str = ""


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When a provider's model is left alone: after `failures` in a row within `window_s`, for `open_s`.

    Any success begins the count anew. After `open_s` one call tries the place.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    failures: Annotated[int, Field(ge=1, le=10_000)] = 5
    window_s: Annotated[float, Field(gt=0)] = 30.0
    open_s: Annotated[float, Field(gt=0)] = 15.0
    without_alternative: Literal["ask", "refuse"] = "ask"  # where nothing else could serve the call
