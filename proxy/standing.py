"""What follows from the configuration: made at start, and made anew as a whole when it is read again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from data.config import Config, ProviderConfig
from data.pricing import PriceBook
from proxy.budget.appraisal import Appraiser
from proxy.routing import Router
from proxy.time_limits import TimeLimits, time_limits


@dataclass(frozen=True, slots=True)
class Standing:
    """What calls are served by. A call that has begun keeps the one it began with."""

    config: Config
    router: Router
    prices: PriceBook
    limits: TimeLimits
    appraiser: Appraiser

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return what follows from `config`."""
        proxy = config.proxy
        limits = time_limits(
            connect_s=proxy.connect_timeout_s,
            first_byte_s=proxy.first_byte_timeout_s,
            idle_s=proxy.idle_timeout_s,
            total_s=proxy.total_timeout_s,
        )
        prices = PriceBook(config.prices)
        router = Router(config.providers, config.routes, limits=limits, aliases=config.aliases, tiers=config.tiers)
        return cls(config, router, prices, limits, Appraiser(prices, config.budgets.assumed_max_output_tokens))

    @property
    def providers(self) -> Mapping[str, ProviderConfig]:
        """The configured providers by name."""
        return self.config.providers


#: What a running proxy holds on to: where it listens and where its data is. Another value needs a new start.
FIXED: tuple[tuple[str, ...], ...] = (
    ("home",),
    ("store",),
    ("proxy", "host"),
    ("proxy", "port"),
    ("proxy", "processes"),
    ("worker", "host"),
    ("worker", "port"),
)


def fixed_changes(old: Config, new: Config) -> list[str]:
    """Return the settings that differ and take a new start."""
    return [".".join(path) for path in FIXED if _at(old, path) != _at(new, path)]


def _at(config: Config, path: tuple[str, ...]) -> object:
    value: object = config
    for name in path:
        value = getattr(value, name)
    return value
