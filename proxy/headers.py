"""Headers on their way through: hop-by-hop ones and ours stay here, everything else passes as it came."""

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from data.config import ProviderConfig
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
_NOT_SENT_ON = HOP_BY_HOP | {"host", "content-length", "expect"}


def request_headers(headers: CIMultiDictProxy[str], provider: ProviderConfig) -> CIMultiDict[str]:
    """Return what the provider is sent: the caller's headers, with the provider's own key if one is configured."""
    sent = _passed(headers, _NOT_SENT_ON)
    if provider.api_key:
        _use_key(sent, provider)
    return sent


def response_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return what the client is sent of the provider's headers: all but the hop-by-hop ones."""
    return _passed(headers, HOP_BY_HOP)


def _passed(headers: Mapping[str, str], withheld: frozenset[str]) -> CIMultiDict[str]:
    if "connection" in headers:
        withheld = withheld | frozenset(_named(headers["connection"].split(",")))
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if (lower := name.lower()) not in withheld and not lower.startswith(OWN_PREFIX)
    )


def _named(names: Iterable[str]) -> Iterable[str]:
    return (name.strip().lower() for name in names)


def _use_key(sent: CIMultiDict[str], provider: ProviderConfig) -> None:
    sent.popall("authorization", None)
    sent.popall("x-api-key", None)
    if provider.protocol is Protocol.ANTHROPIC:
        sent["x-api-key"] = provider.api_key
    else:
        sent["Authorization"] = f"Bearer {provider.api_key}"
