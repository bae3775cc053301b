"""Which headers of the creator's go with a conversation's calls, and that nothing shows them."""

import pytest
from multidict import CIMultiDict

from proxy.crosstalk.credentials import credentials


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ({"x-api-key": "sk-1"}, {"x-api-key": "sk-1"}),
        ({"Authorization": "Bearer sk-1"}, {"authorization": "Bearer sk-1"}),
        ({"Authorization": "Bearer the-token"}, {}),
        ({"authorization": "bearer  the-token"}, {}),
        ({"x-claude-proxy-token": "the-token", "authorization": "Bearer sk-1"}, {"authorization": "Bearer sk-1"}),
        ({"x-claude-proxy-key": "cpk_1", "x-api-key": "sk"}, {"x-api-key": "sk", "x-claude-proxy-key": "cpk_1"}),
        ({"cookie": "a=b", "x-other": "c"}, {}),
        ({}, {}),
    ],
)
def test_the_apis_own_token_is_no_providers(shown, kept):
    assert dict(credentials(CIMultiDict(shown), "the-token").headers) == kept


def test_without_a_token_every_credential_is_the_creators():
    assert dict(credentials(CIMultiDict({"authorization": "Bearer x"}), "").headers) == {"authorization": "Bearer x"}


def test_they_are_not_shown():
    shown = credentials(CIMultiDict({"authorization": "Bearer sk-very-secret"}), "")
    assert "secret" not in repr(shown)
    assert shown.secrets == ("Bearer sk-very-secret", "sk-very-secret")
