"""Which headers pass."""

from multidict import CIMultiDict, CIMultiDictProxy

from data.config import ProviderConfig
from data.model import Protocol
from proxy.headers import request_headers, response_headers

PLAIN = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", name="a")


def given(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def test_everything_passes_but_the_connections_own_and_ours():
    sent = request_headers(
        given(
            ("Host", "proxy"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Expect", "100-continue"),
            ("X-Claude-Proxy-Team", "blue"),
            ("anthropic-beta", "one"),
            ("anthropic-beta", "two"),
            ("x-api-key", "callers"),
        ),
        PLAIN,
    )
    assert list(sent.items()) == [("anthropic-beta", "one"), ("anthropic-beta", "two"), ("x-api-key", "callers")]


def test_a_configured_key_replaces_the_callers_in_the_protocols_header():
    came = given(("x-api-key", "callers"), ("authorization", "Bearer callers"))
    own = ProviderConfig(Protocol.ANTHROPIC, "https://a.example", "own", "a")
    assert dict(request_headers(came, own)) == {"x-api-key": "own"}
    own = ProviderConfig(Protocol.OPENAI, "https://o.example", "own", "o")
    assert dict(request_headers(came, own)) == {"Authorization": "Bearer own"}


def test_the_providers_headers_pass_in_order_and_number():
    came = given(
        ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Keep-Alive", "5"), ("Content-Length", "3"), ("Date", "now")
    )
    kept = [("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Content-Length", "3"), ("Date", "now")]
    assert list(response_headers(came).items()) == kept
