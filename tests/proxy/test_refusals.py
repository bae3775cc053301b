import pytest

from data.model import Protocol
from proxy.refusals import refusal


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413])
def test_what_is_refused_for_good_is_not_asked_again(status):
    assert refusal(Protocol.ANTHROPIC, status, "No.").headers["x-should-retry"] == "false"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_may_be_asked_again(status):
    assert "x-should-retry" not in refusal(Protocol.ANTHROPIC, status, "Not now.").headers
