"""Who a call belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.attribution import Attribution, attribute, key_label

SESSION = "0f8fad5b-d9cb-469f-a165-70867728950e"
ACCOUNT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@pytest.mark.parametrize(
    ("user_id", "user", "session"),
    [
        (f"user_abc123_account_{ACCOUNT}_session_{SESSION}", ACCOUNT, SESSION),
        (f"user_abc123_account__session_{SESSION}", "abc123", SESSION),
        (f'{{"device_id":"d1","account_uuid":"{ACCOUNT}","session_id":"{SESSION}"}}', ACCOUNT, SESSION),
        (f'{{"device_id":"d1","session_id":"{SESSION}"}}', "d1", SESSION),
        ("someone@example.org", "someone@example.org", ""),
        ('{"session_id": 5}', "", ""),
        ("{broken", "", ""),
        ("", "", ""),
    ],
    ids=["claude code", "without account", "json", "json without account", "plain", "wrong type", "broken", "none"],
)
def test_the_user_and_the_session_of_a_user_id(user_id: str, user: str, session: str):
    found = attribute(CIMultiDict(), user_id)
    assert (found.user, found.session) == (user, session)


def test_headers_win_over_the_body():
    headers = CIMultiDict(
        {
            "X-Claude-Proxy-User": "ann",
            "X-Claude-Proxy-Team": "blue",
            "X-Claude-Proxy-Project": "apollo",
            "X-Claude-Code-Session-Id": "s-header",
            "X-Claude-Code-Agent-Id": "a1",
            "User-Agent": "claude-cli/2.0",
        }
    )
    assert attribute(headers, f"user_x_account__session_{SESSION}") == Attribution(
        user="ann", team="blue", project="apollo", session="s-header", agent="a1", user_agent="claude-cli/2.0"
    )


def test_an_explicit_session_wins_over_claude_codes():
    headers = CIMultiDict({"x-claude-proxy-session": "mine", "x-claude-code-session-id": "theirs"})
    assert attribute(headers).session == "mine"


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a=b,c=d", {"a": "b", "c": "d"}),
        (" a = b , c ", {"a": "b", "c": ""}),
        ("a=b=c,,=x", {"a": "b=c"}),
        (",".join(f"t{i}=v" for i in range(40)), {f"t{i}": "v" for i in range(16)}),
    ],
    ids=["pairs", "spaces", "odd", "too many"],
)
def test_tags(text: str, tags: dict[str, str]):
    assert attribute(CIMultiDict({"x-claude-proxy-tags": text})).tags == tags


def test_a_key_has_one_label_whatever_header_carries_it_and_shows_nothing_of_it():
    label = key_label(CIMultiDict({"x-api-key": "sk-ant-secret"}))
    assert label == key_label(CIMultiDict({"Authorization": "Bearer sk-ant-secret"}))
    assert label == key_label(CIMultiDict({"x-goog-api-key": "sk-ant-secret"}))
    assert label.startswith("key-")
    assert len(label) == len("key-") + 8
    assert "secret" not in label


def test_no_credential_has_no_label():
    assert key_label(CIMultiDict()) == key_label(CIMultiDict({"authorization": "Bearer "})) == ""


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_said_can_be_stored(user_id: str, said: str):
    found = attribute(CIMultiDict({"x-claude-proxy-tags": said, "user-agent": said, "x-api-key": said}), user_id)
    for text in (found.user, found.session, found.user_agent, *found.tags, *found.tags.values()):
        text.encode("utf-8")
