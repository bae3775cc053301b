"""Which places may serve a call, in which order. Pure: the configuration is an argument.

What a client asks for is looked up so, the first that applies being the answer:

1. a provider named by the path (`/openai/v1/…`): that one, and nothing else;
2. `[aliases]`, as often as one leads to another; what is left is the model, perhaps with a provider before a slash:
   then that is the place;
3. the virtual key's own routes, then `[[routes]]`: the first whose glob matches the model and one of whose targets
   can serve the endpoint;
4. `[tiers]`: a model whose name has opus (sonnet, haiku) in it, or is "big" ("middle", "small"); a tier without a
   provider is looked up in the routes as in 3;
5. the first provider that speaks the client's protocol, else the first for which calls are translated.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from data.config import ProviderConfig
from data.model import Endpoint, Protocol
from data.route_config import FallbacksConfig, RouteConfig, TargetConfig, TiersConfig
from proxy.failure import HANDLING
from proxy.time_limits import TimeLimits, time_limits

#: What is translated: the client's endpoint and the provider's protocol.
TRANSLATED: Final = frozenset(
    {
        (Endpoint.MESSAGES, Protocol.OPENAI),
        (Endpoint.COUNT_TOKENS, Protocol.OPENAI),
        (Endpoint.CHAT_COMPLETIONS, Protocol.ANTHROPIC),
    }
)
#: The lists of fallbacks that failures look at.
LISTS: Final = tuple(dict.fromkeys(handling.list for handling in HANDLING.values() if handling.list))
#: The tiers by the word in a model's name.
_TIERS: Final = (("opus", "big"), ("sonnet", "middle"), ("haiku", "small"))


class Candidate(msgspec.Struct, frozen=True):
    """One place that may serve a call; `model` '' asks for what the client asked for."""

    provider: ProviderConfig
    limits: TimeLimits
    model: str = ""
    translates: bool = False
    weight: float = 1.0


class Plan(msgspec.Struct, frozen=True):
    """Where a call may go: one of `choices` first, `fallbacks` after a failure, by `Handling.list`."""

    choices: tuple[Candidate, ...]
    fallbacks: Mapping[str, tuple[Candidate, ...]] = {}
    retries: int = 0
    cap_usd: Decimal | None = None
    cap_factor: float | None = None

    @property
    def single(self) -> bool:
        """Whether there is nothing to choose, now or later."""
        only = len(self.choices) == 1 and not (self.retries or self.fallbacks)
        return only and len(self.choices[0].provider.credentials) < 2


class Router:
    """Makes plans from one configuration."""

    def __init__(
        self,
        providers: Mapping[str, ProviderConfig],
        routes: Iterable[RouteConfig] = (),
        *,
        limits: TimeLimits,
        aliases: Mapping[str, str] | None = None,
        tiers: TiersConfig | None = None,
    ) -> None:
        self._providers = providers
        self._limits = {name: _limits_of(provider, limits) for name, provider in providers.items()}
        self._routes = _compiled(routes)
        self._aliases = aliases or {}
        self._tiers = tiers or TiersConfig()
        self.plan = lru_cache(maxsize=4096)(self._plan)

    def _plan(
        self, endpoint: Endpoint, protocol: Protocol, model: str, named: str = "", own: tuple[RouteConfig, ...] = ()
    ) -> Plan | None:
        """Return where a call for `model` may go, or None where no provider can serve it.

        `named` is the provider that the path names; `own` are the virtual key's routes.
        """
        if named:
            found = self._candidate(TargetConfig(named), endpoint, protocol, "")
            return Plan((found,)) if found is not None and not found.translates else None
        resolved = self._resolved(model)
        placed = self._placed(resolved, endpoint, protocol, model)
        if placed is not None:
            return Plan((placed,))
        routes = (*_compiled(own), *self._routes)
        return (
            self._routed(routes, endpoint, protocol, resolved, model)
            or self._tiered(routes, endpoint, protocol, resolved, model)
            or self._default(endpoint, protocol, _renamed(resolved, model))
        )

    def _resolved(self, model: str) -> str:
        seen = {model}
        while (following := self._aliases.get(model)) is not None and following not in seen:
            seen.add(model := following)
        return model

    def _placed(self, name: str, endpoint: Endpoint, protocol: Protocol, asked: str) -> Candidate | None:
        """The place that `provider/model` names, unless the client itself says so and its provider is unknown."""
        provider, slash, model = name.partition("/")
        if not (slash and model) or provider not in self._providers or name == asked:
            return None
        return self._candidate(TargetConfig(provider, model), endpoint, protocol, "")

    def _routed(
        self,
        routes: Iterable[tuple[re.Pattern[str], RouteConfig]],
        endpoint: Endpoint,
        protocol: Protocol,
        model: str,
        asked: str,
    ) -> Plan | None:
        rename = _renamed(model, asked)
        for pattern, route in routes:
            if not pattern.match(model):
                continue
            choices = self._candidates(route.choices, endpoint, protocol, rename)
            if choices:
                return Plan(
                    choices,
                    self._fallbacks(route.fallbacks, endpoint, protocol, rename),
                    route.retries,
                    route.cost_cap_usd,
                    route.cost_cap_factor,
                )
        return None

    def _tiered(
        self,
        routes: Iterable[tuple[re.Pattern[str], RouteConfig]],
        endpoint: Endpoint,
        protocol: Protocol,
        model: str,
        asked: str,
    ) -> Plan | None:
        lower = model.lower()
        stands = next((getattr(self._tiers, tier) for word, tier in _TIERS if word in lower or lower == tier), "")
        if not stands:
            return None
        if (placed := self._placed(stands, endpoint, protocol, asked)) is not None:
            return Plan((placed,))
        routed = self._routed(routes, endpoint, protocol, stands, asked)
        return routed or self._default(endpoint, protocol, stands)

    def _default(self, endpoint: Endpoint, protocol: Protocol, rename: str) -> Plan | None:
        targets = [TargetConfig(name) for name in self._providers]
        found = self._candidates(targets, endpoint, protocol, rename)
        best = sorted(found, key=lambda candidate: candidate.translates)[:1]
        return Plan(tuple(best)) if best else None

    def _fallbacks(
        self, lists: FallbacksConfig, endpoint: Endpoint, protocol: Protocol, rename: str
    ) -> dict[str, tuple[Candidate, ...]]:
        found = {}
        for name in LISTS:
            if candidates := self._candidates(getattr(lists, name) or lists.any, endpoint, protocol, rename):
                found[name] = candidates
        return found

    def _candidates(
        self, targets: Iterable[TargetConfig], endpoint: Endpoint, protocol: Protocol, rename: str
    ) -> tuple[Candidate, ...]:
        found = (self._candidate(target, endpoint, protocol, rename) for target in targets)
        return tuple(candidate for candidate in found if candidate is not None)

    def _candidate(self, target: TargetConfig, endpoint: Endpoint, protocol: Protocol, rename: str) -> Candidate | None:
        provider = self._providers.get(target.provider)
        if provider is None:
            return None
        translates = provider.protocol is not protocol
        if translates and (endpoint, provider.protocol) not in TRANSLATED:
            return None
        limits = self._limits[target.provider]
        return Candidate(provider, limits, target.model or rename, translates, target.weight)


def _renamed(model: str, asked: str) -> str:
    return "" if model == asked else model


def _compiled(routes: Iterable[RouteConfig]) -> tuple[tuple[re.Pattern[str], RouteConfig], ...]:
    return tuple((re.compile(fnmatch.translate(route.model)), route) for route in routes)


def _limits_of(provider: ProviderConfig, usual: TimeLimits) -> TimeLimits:
    return time_limits(
        connect_s=provider.connect_timeout_s or usual.connect_s,
        first_byte_s=provider.first_byte_timeout_s or usual.first_byte_s,
        idle_s=provider.idle_timeout_s or usual.idle_s,
        total_s=provider.total_timeout_s or usual.total_s,
    )


def upstream_url(base_url: str, path: str) -> str:
    """Return where a request for `path` (query included, as received) goes; a base that ends in /v1 keeps one /v1."""
    base = base_url.rstrip("/")
    if base.endswith("/v1") and path.startswith("/v1/"):
        base = base[: -len("/v1")]
    return base + path
