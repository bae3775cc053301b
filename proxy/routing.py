"""Which provider serves a model, and where its requests go. Pure: the configuration is an argument."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from data.config import ProviderConfig, RouteConfig
from data.model import Protocol


class Router:
    """Chooses providers. Routes to a provider of another protocol than the endpoint's do not apply to it."""

    def __init__(self, providers: Mapping[str, ProviderConfig], routes: Iterable[RouteConfig]) -> None:
        self._providers = tuple(providers.values())
        self._routes = tuple(
            (re.compile(fnmatch.translate(route.model)), providers[route.provider])
            for route in routes
            if route.provider in providers
        )
        self.choose = lru_cache(maxsize=1024)(self._choose)

    def _choose(self, protocol: Protocol, model: str) -> ProviderConfig | None:
        """Return the provider of the first route that matches `model`, else the protocol's first, else None."""
        routed = (provider for pattern, provider in self._routes if pattern.match(model))
        for provider in (*routed, *self._providers):
            if provider.protocol is protocol:
                return provider
        return None


def upstream_url(base_url: str, path: str) -> str:
    """Return where a request for `path` (query included, as received) goes; a base that ends in /v1 keeps one /v1."""
    base = base_url.rstrip("/")
    if base.endswith("/v1") and path.startswith("/v1/"):
        base = base[: -len("/v1")]
    return base + path
