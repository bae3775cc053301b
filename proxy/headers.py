"""Headers on their way through: hop-by-hop ones and ours stay here, everything else passes as it came."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote

from multidict import CIMultiDict

from data.config import ProviderConfig
from data.keys import PREFIX as KEY_PREFIX
from data.model import Protocol
from proxy.attribution import OWN_PREFIX

#: RFC 9110 section 7.6.1, and what the next connection decides for itself.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_KEY_PARAMETERS = frozenset({"key", "access_token", "oauth_token"})
_CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")
#: What names of headers begin with that speak of one vendor's protocol or of the client's SDK.
_OF_A_PROTOCOL = ("anthropic-", "openai-", "x-stainless-", "x-claude-code-", "x-app", *_CREDENTIALS, "accept")
_NAMES_KNOWN = 512  # header names are few, and always the same
#: What makes another call of one that was admitted and counted by its method.
_OVERRIDES = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
_NOT_SENT_ON = HOP_BY_HOP | _OVERRIDES | {"host", "content-length", "expect"}


def passed_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return what a provider may be sent of the caller's headers: all but the hop-by-hop ones and ours."""
    return _passed(headers, _stays_before_provider)


def request_headers(passed: CIMultiDict[str], provider: ProviderConfig, key: str) -> CIMultiDict[str]:
    """Return what the provider is sent: the caller's headers, with the provider's own `key` if there is one."""
    sent = passed.copy()
    if key:
        _use_key(sent, provider, key)
    return sent


def translated_headers(passed: CIMultiDict[str], provider: ProviderConfig, key: str) -> CIMultiDict[str]:
    """Return what a provider of another protocol is sent: nothing that speaks of the caller's own protocol.

    Without a `key` of the provider's own, the caller's credential goes into the header where the provider looks.
    """
    sent = CIMultiDict([field for field in passed.items() if _is_neutral(field[0])])
    _, _, bearer = passed.get("authorization", "").partition(" ")
    if credential := key or passed.get("x-api-key", "") or bearer.strip():
        _use_key(sent, provider, credential)
    sent["Accept-Encoding"] = "identity"
    sent["Content-Type"] = "application/json"
    return sent


def own_path(path: str, provider: ProviderConfig, key: str) -> str:
    """Return the path and query that the provider is sent; for Google without the caller's key where it has its own."""
    plain, asks, query = path.partition("?")
    if not (asks and key and provider.protocol is Protocol.GEMINI):
        return path
    kept = "&".join(part for part in query.split("&") if unquote(part.partition("=")[0]) not in _KEY_PARAMETERS)
    return f"{plain}?{kept}" if kept else plain


def without_virtual_keys(passed: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return the headers without this proxy's own keys, wherever they stand."""
    return CIMultiDict([field for field in passed.items() if KEY_PREFIX not in field[1]])


def path_without_virtual_keys(path: str) -> str:
    """Return the path without this proxy's own keys."""
    plain, asks, query = path.partition("?")
    if not (asks and KEY_PREFIX in unquote(query)):
        return path
    kept = [part for part in query.split("&") if KEY_PREFIX not in unquote(part)]
    return f"{plain}?{'&'.join(kept)}" if kept else plain


def unsendable_header(raw_headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the name of a header that aiohttp would send on mutilated, as its value is not UTF-8; '' for none."""
    if b"".join([value for _, value in raw_headers]).isascii():
        return ""
    for name, value in raw_headers:
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                return name.decode("ascii", "replace")
    return ""


def response_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return what the client is sent of the provider's headers: all but the hop-by-hop ones."""
    return _passed(headers, _stays_before_client)


def _passed(headers: Mapping[str, str], stays: Callable[[str], bool]) -> CIMultiDict[str]:
    passed = CIMultiDict([field for field in headers.items() if not stays(field[0])])
    for name in headers.get("connection", "").split(","):
        if name:
            passed.popall(name.strip(), None)
    return passed


@lru_cache(_NAMES_KNOWN)
def _stays_before_provider(name: str) -> bool:
    return name.lower() in _NOT_SENT_ON or name.lower().startswith(OWN_PREFIX)


@lru_cache(_NAMES_KNOWN)
def _stays_before_client(name: str) -> bool:
    return name.lower() in HOP_BY_HOP or name.lower().startswith(OWN_PREFIX)


@lru_cache(_NAMES_KNOWN)
def _is_neutral(name: str) -> bool:
    return not name.lower().startswith(_OF_A_PROTOCOL)


def drop_credentials(sent: CIMultiDict[str]) -> None:
    """Take the caller's credentials off."""
    for name in _CREDENTIALS:
        sent.popall(name, None)


def _use_key(sent: CIMultiDict[str], provider: ProviderConfig, key: str) -> None:
    drop_credentials(sent)
    match provider.protocol:
        case Protocol.ANTHROPIC:
            sent["x-api-key"] = key
        case Protocol.GEMINI:
            sent["x-goog-api-key"] = key
        case _:
            sent["Authorization"] = f"Bearer {key}"
