"""What a client's headers say is worked out once."""

from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from data.config import ProviderConfig
from data.keys import PREFIX
from data.model import Protocol
from proxy.client_head import MOST_HEADS, Head, Heads
from proxy.headers import request_headers

SAID = {"x-api-key": f"{PREFIX}secret", "user-agent": "sdk/1", "connection": "keep-alive"}


def head(heads: Heads, **said: str) -> Head:
    headers = CIMultiDict({**SAID, **{name.replace("_", "-"): value for name, value in said.items()}})
    return heads.of(make_mocked_request("POST", "/v1/messages", headers))


def test_requests_with_the_same_headers_share_a_head_whatever_their_length():
    heads = Heads()
    assert head(heads, Content_Length="10") is head(heads, Content_Length="2000")


def test_any_other_difference_makes_another_head():
    heads = Heads()
    others = [
        head(heads),
        head(heads, x_api_key=f"{PREFIX}other"),
        head(heads, x_claude_code_session_id="s"),
        head(heads, X_Content_Length="10"),
    ]
    assert len({id(each) for each in others}) == 4
    assert [each.said.session for each in others] == ["", "", "s", ""]
    assert [each.secrets[0] for each in others[:2]] == [f"{PREFIX}secret", f"{PREFIX}other"]


def test_no_more_heads_are_kept_than_there_is_room_for():
    heads = Heads()
    first = head(heads)
    for number in range(MOST_HEADS):
        head(heads, x_request_id=str(number))
    last = head(heads, x_request_id=str(MOST_HEADS - 1))
    assert head(heads) is not first
    assert head(heads, x_request_id=str(MOST_HEADS - 1)) is last


def test_a_request_with_very_many_headers_is_read_each_time():
    heads, many = Heads(), {f"x_{number}": "1" for number in range(200)}
    assert head(heads, **many) is not head(heads, **many)


def test_a_providers_own_key_may_be_a_virtual_key_of_another_proxy():
    chained = ProviderConfig(Protocol.ANTHROPIC, "https://next.example", f"{PREFIX}next", "next")
    of_client = head(Heads())
    assert dict(request_headers(of_client.passed_without_keys, chained, f"{PREFIX}next")) == {
        "user-agent": "sdk/1",
        "x-api-key": f"{PREFIX}next",
    }
    assert of_client.passed["x-api-key"] == f"{PREFIX}secret"
