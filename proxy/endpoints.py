"""What a request's line asks for: its endpoint, and what its path says besides. Pure: the providers are an argument.

/v1/messages                        an endpoint; routing chooses the provider
/anthropic/v1/messages              the same of the provider `anthropic`, and whatever else lies under its name
/p/{project}/v1/messages            either of them, for a project's account
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import msgspec

from data.config import ProviderConfig
from data.model import Endpoint, Protocol
from proxy.request import clean

_MAX_DECODINGS = 4
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class ClientEndpoint:
    """One endpoint that clients call; without a protocol the headers tell it.

    In `path`, `{id}`, `{batch}` and `{file}` are one segment, `{rest}` any number of them; `{gemini}` and `{model}` are
    Gemini's.
    """

    method: str
    path: str
    endpoint: Endpoint
    protocol: Protocol | None = None
    stream: bool = False  # by its path alone, whatever the body says


class Asked(msgspec.Struct, frozen=True):
    """What a request's line asks for; '' where it does not say."""

    endpoint: Endpoint
    protocol: Protocol  # the one that the client speaks
    path: str  # what is sent on: path and query as they came, without the prefixes
    method: str = "POST"
    project: str = ""
    provider: str = ""  # the one whose name the path begins with; '': routing chooses
    prefix: str = ""  # what the path began with, as it came
    model: str = ""  # where the path names it
    stream: bool = False  # where the path says it
    batch: str = ""  # the batch whose results are asked for
    file: str = ""  # the file whose content is asked for

    @property
    def makes_batch(self) -> bool:
        """Whether it is for a new batch."""
        path = self.path.partition("?")[0]
        return self.endpoint is Endpoint.BATCHES and self.method == "POST" and path.endswith("/batches")


class Unknown(msgspec.Struct, frozen=True):
    """Why a request's line asks for nothing that there is, in words for the client."""

    protocol: Protocol
    status: int
    message: str
    code: str


ENDPOINTS: tuple[ClientEndpoint, ...] = (
    ClientEndpoint("POST", "/v1/messages", Endpoint.MESSAGES, Protocol.ANTHROPIC),
    ClientEndpoint("POST", "/v1/messages/count_tokens", Endpoint.COUNT_TOKENS, Protocol.ANTHROPIC),
    ClientEndpoint("POST", "/v1/messages/batches", Endpoint.BATCHES, Protocol.ANTHROPIC),
    ClientEndpoint("GET", "/v1/messages/batches", Endpoint.BATCHES, Protocol.ANTHROPIC),
    ClientEndpoint("GET", "/v1/messages/batches/{id}", Endpoint.BATCHES, Protocol.ANTHROPIC),
    ClientEndpoint("DELETE", "/v1/messages/batches/{id}", Endpoint.BATCHES, Protocol.ANTHROPIC),
    ClientEndpoint("POST", "/v1/messages/batches/{id}/cancel", Endpoint.BATCHES, Protocol.ANTHROPIC),
    ClientEndpoint("GET", "/v1/messages/batches/{batch}/results", Endpoint.BATCHES, Protocol.ANTHROPIC),
    ClientEndpoint("POST", "/v1/chat/completions", Endpoint.CHAT_COMPLETIONS, Protocol.OPENAI),
    ClientEndpoint("POST", "/v1/responses", Endpoint.RESPONSES, Protocol.OPENAI),
    ClientEndpoint("POST", "/v1/embeddings", Endpoint.EMBEDDINGS, Protocol.OPENAI),
    ClientEndpoint("POST", "/v1/batches", Endpoint.BATCHES, Protocol.OPENAI),
    ClientEndpoint("GET", "/v1/batches", Endpoint.BATCHES, Protocol.OPENAI),
    ClientEndpoint("GET", "/v1/batches/{id}", Endpoint.BATCHES, Protocol.OPENAI),
    ClientEndpoint("POST", "/v1/batches/{id}/cancel", Endpoint.BATCHES, Protocol.OPENAI),
    ClientEndpoint("GET", "/v1/models", Endpoint.MODELS),
    ClientEndpoint("GET", "/v1/models/{rest}", Endpoint.MODELS),
    ClientEndpoint("GET", "/v1/files", Endpoint.FILES),
    ClientEndpoint("POST", "/v1/files", Endpoint.FILES),
    ClientEndpoint("GET", "/v1/files/{id}", Endpoint.FILES),
    ClientEndpoint("DELETE", "/v1/files/{id}", Endpoint.FILES),
    ClientEndpoint("GET", "/v1/files/{file}/content", Endpoint.FILES),
    ClientEndpoint("POST", "/{gemini}/{model}:generateContent", Endpoint.GENERATE_CONTENT, Protocol.GEMINI),
    ClientEndpoint("POST", "/{gemini}/{model}:streamGenerateContent", Endpoint.GENERATE_CONTENT, Protocol.GEMINI, True),
    ClientEndpoint("POST", "/{gemini}/{model}:countTokens", Endpoint.COUNT_GEMINI_TOKENS, Protocol.GEMINI),
    ClientEndpoint("POST", "/{gemini}/{model}:embedContent", Endpoint.EMBEDDINGS, Protocol.GEMINI),
    ClientEndpoint("POST", "/{gemini}/{model}:batchEmbedContents", Endpoint.EMBEDDINGS, Protocol.GEMINI),
    ClientEndpoint("GET", "/v1beta/models", Endpoint.MODELS, Protocol.GEMINI),
    ClientEndpoint("GET", "/v1beta/models/{rest}", Endpoint.MODELS, Protocol.GEMINI),
)

#: What a place in a path may be. Where one segment is meant, none may hide another one in percent signs.
_PLACES: Final[Mapping[str, str]] = {
    "{id}": r"[^/%;\\]+",
    "{batch}": r"(?P<batch>[^/%;\\]+)",
    "{file}": r"(?P<file>[^/%;\\]+)",
    "{rest}": r".+",
    "{gemini}": r"v1(?:beta|alpha|beta1)?(?:/[\w.-]+)*?",
    "{model}": r"(?:models/)?(?P<model>(?:tunedModels/)?[^/:%;\\]+)",
}
#: What paths begin with that no provider's name leads to.
RESERVED: Final = frozenset({"v1", "v1beta", "v1alpha", "p", "api", "ws", "health", "metrics"})
_HIDDEN_SLASH: Final = re.compile(r"//|\\|%(?:2f|5c)", re.IGNORECASE)
_QUERY_KEY: Final = re.compile(r"[?&]key=")
_GEMINI_PATHS: Final = ("/v1beta", "/v1alpha")


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", path)
    return re.compile("".join(_PLACES.get(part) or re.escape(part) for part in parts))


_EXACT: Final = {(each.method, each.path): each for each in ENDPOINTS if "{" not in each.path}
_PATTERNS: Final = tuple((_pattern(each.path), each) for each in ENDPOINTS if "{" in each.path)


def read_line(
    method: str, path: str, headers: Mapping[str, str], providers: Mapping[str, ProviderConfig]
) -> Asked | Unknown:
    """Return what a request for `path` (query included, as received) asks for."""
    found = _EXACT.get((method, path.partition("?")[0]))
    if found is not None:
        return Asked(found.endpoint, found.protocol or _spoken(headers, path), path, method)
    if leaves_its_endpoint(path):
        return _missing(method, path, headers)
    if not path.startswith("/p/"):
        return _read(method, path, headers, providers)
    name, slash, rest = path[len("/p/") :].partition("/")
    project = clean(unquote(name), _MAX_NAME).strip()
    if not (slash and project):
        return _missing(method, path, headers)
    asked = _read(method, f"/{rest}", headers, providers)
    if isinstance(asked, Unknown):
        return asked
    return msgspec.structs.replace(asked, project=project, prefix=f"/p/{name}{asked.prefix}")


def spoken(headers: Mapping[str, str]) -> Protocol:
    """Return the protocol a request's headers speak: Anthropic's or Google's by their own headers, else OpenAI's."""
    if "anthropic-version" in headers or "x-api-key" in headers:
        return Protocol.ANTHROPIC
    if "x-goog-api-key" in headers:
        return Protocol.GEMINI
    return Protocol.OPENAI


def _spoken(headers: Mapping[str, str], path: str) -> Protocol:
    """The same, for what Google's clients may ask with their key in the query alone."""
    said = spoken(headers)
    alone = said is Protocol.OPENAI and "authorization" not in headers
    return Protocol.GEMINI if alone and _QUERY_KEY.search(path) else said


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


def _read(
    method: str, path: str, headers: Mapping[str, str], providers: Mapping[str, ProviderConfig]
) -> Asked | Unknown:
    """Read a path without a project."""
    if (asked := _known(method, path, headers)) is not None:
        return asked
    begin, _, rest = path[1:].partition("/")
    name = unquote(begin)
    provider = providers.get(name)
    if provider is None or name in RESERVED or not rest:
        return _missing(method, path, headers)
    rest = f"/{rest}"
    asked = _known(method, rest, headers, provider.protocol) or _other(method, rest, provider.protocol)
    if asked is None:
        return _missing(method, path, headers)
    return msgspec.structs.replace(asked, provider=name, prefix=f"/{begin}")


def _known(method: str, path: str, headers: Mapping[str, str], protocol: Protocol | None = None) -> Asked | None:
    """Read a path without prefixes; `protocol` is what an endpoint speaks that several have."""
    plain = path.partition("?")[0]
    found = _EXACT.get((method, plain))
    if found is not None:
        return Asked(found.endpoint, found.protocol or protocol or _spoken(headers, path), path, method)
    for pattern, each in _PATTERNS:
        if each.method == method and (match := pattern.fullmatch(plain)) is not None:
            names = match.groupdict()
            return Asked(
                each.endpoint,
                each.protocol or protocol or _spoken(headers, path),
                path,
                method,
                model=clean(names.get("model"), _MAX_NAME),
                stream=each.stream,
                batch=clean(names.get("batch"), _MAX_NAME),
                file=clean(names.get("file"), _MAX_NAME),
            )
    return None


def _other(method: str, path: str, protocol: Protocol) -> Asked | None:
    """Whatever else a provider has, unless its path may be read as another one."""
    plain = path.partition("?")[0]
    if _HIDDEN_SLASH.search(plain) or _stands_for_endpoint(method, plain):
        return None
    return Asked(Endpoint.OTHER, protocol, path, method)


def _stands_for_endpoint(method: str, plain: str) -> bool:
    """Whether a provider may read a path as that of an endpoint, which would be held to no rule of that endpoint."""
    read = plain
    for _ in range(_MAX_DECODINGS):
        read = unquote(read)
    read = "/".join(segment.partition(";")[0] for segment in read.split("/")).rstrip("/")
    found = _known(method, read, {}) if read != plain else None
    return found is not None and found.endpoint is not Endpoint.MODELS


def _missing(method: str, path: str, headers: Mapping[str, str]) -> Unknown:
    """Say that there is no such endpoint, in the protocol that the caller means."""
    plain = path.partition("?")[0][:_MAX_NAME]
    protocol = _meant(plain, headers)
    if _has_other_method(plain):
        return Unknown(protocol, 405, f"{method} is not allowed for {plain}.", "method_not_allowed")
    return Unknown(protocol, 404, f"This proxy has no endpoint {method} {plain}.", "unknown_endpoint")


def _has_other_method(plain: str) -> bool:
    paths: Iterable[str] = (path for _, path in _EXACT)
    if leaves_its_endpoint(plain):
        return False
    return plain in paths or any(pattern.fullmatch(plain) for pattern, _ in _PATTERNS)


def _meant(plain: str, headers: Mapping[str, str]) -> Protocol:
    if "/v1/messages" in plain:
        return Protocol.ANTHROPIC
    if any(path in plain for path in _GEMINI_PATHS):
        return Protocol.GEMINI
    return spoken(headers)
