"""What people see of an address, and what becomes of it when they send that back."""

import pytest

from engine.channels.veil import hidden, masks, unveiled, veiled
from engine.secrets import MASK

URL = "https://hook.example/a?token=S%2Fecret&team=ops&BARE#end"
SHOWN = f"https://hook.example/a?token={MASK}&team={MASK}&{MASK}#end"


def test_no_value_of_a_query_is_shown():
    assert veiled(URL) == SHOWN
    assert hidden(URL) == ["S%2Fecret"]
    assert (masks(URL), masks(SHOWN)) == (False, True)
    assert veiled("https://hook.example/a") == "https://hook.example/a"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (SHOWN, URL),
        (SHOWN.replace(MASK, "%E2%80%A2" * 8), URL),
        (f"https://HOOK.example/b?team=dev&token={MASK}", "https://HOOK.example/b?team=dev&token=S%2Fecret"),
        ("https://hook.example/b", "https://hook.example/b"),
        (SHOWN.replace("hook.", "evil."), SHOWN.replace("hook.", "evil.")),
        (SHOWN.replace("https", "http"), SHOWN.replace("https", "http")),
        (SHOWN.replace("example", "example:444"), SHOWN.replace("example", "example:444")),
    ],
    ids=["same", "coded", "edited", "without", "elsewhere", "in-the-open", "other-port"],
)
def test_what_was_shown_means_what_is_kept_on_the_same_server(sent, meant):
    assert unveiled(sent, URL) == meant
