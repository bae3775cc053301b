"""Which endpoint a path is, and which provider serves a model there. Pure: the configuration is an argument."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from data.config import ProviderConfig, RouteConfig
from data.model import Endpoint, Protocol

_MAX_DECODINGS = 4


@dataclass(frozen=True, slots=True)
class ClientEndpoint:
    """One endpoint that clients call; without a protocol the headers tell it."""

    method: str
    path: str
    endpoint: Endpoint
    protocol: Protocol | None = None


ENDPOINTS: tuple[ClientEndpoint, ...] = (
    ClientEndpoint("POST", "/v1/messages", Endpoint.MESSAGES, Protocol.ANTHROPIC),
    ClientEndpoint("POST", "/v1/messages/count_tokens", Endpoint.COUNT_TOKENS, Protocol.ANTHROPIC),
    ClientEndpoint("POST", "/v1/chat/completions", Endpoint.CHAT_COMPLETIONS, Protocol.OPENAI),
    ClientEndpoint("POST", "/v1/responses", Endpoint.RESPONSES, Protocol.OPENAI),
    ClientEndpoint("GET", "/v1/models", Endpoint.MODELS),
    ClientEndpoint("GET", "/v1/models/{id:.+}", Endpoint.MODELS),
)


def spoken(headers: Mapping[str, str]) -> Protocol:
    """Return the protocol a request's headers speak: Anthropic's by its version or key header, else OpenAI's."""
    if "anthropic-version" in headers or "x-api-key" in headers:
        return Protocol.ANTHROPIC
    return Protocol.OPENAI


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


def leaves_its_endpoint(raw_path: str) -> bool:
    """Whether a path, decoded as often as a server on the way may do it, has a segment that leads elsewhere."""
    path = raw_path.partition("?")[0]
    for _ in range(_MAX_DECODINGS):
        if any(segment in {".", ".."} for segment in re.split(r"[/\\;]", path)):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True


def upstream_url(base_url: str, path: str) -> str:
    """Return where a request for `path` (query included, as received) goes; a base that ends in /v1 keeps one /v1."""
    base = base_url.rstrip("/")
    if base.endswith("/v1") and path.startswith("/v1/"):
        base = base[: -len("/v1")]
    return base + path
