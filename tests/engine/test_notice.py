from datetime import timedelta

import msgspec
import pytest

from engine.channels.plain import links, text_of
from engine.notice import NoticeStatus, facts, lasted
from tests.engine.receivers import FIRING, NOON


@pytest.mark.parametrize(
    ("span", "text"),
    [
        ({}, "0 s"),
        ({"seconds": -5}, "0 s"),
        ({"seconds": 59}, "59 s"),
        ({"minutes": 3, "seconds": 20}, "3 min 20 s"),
        ({"hours": 1}, "1 h"),
        ({"hours": 1, "seconds": 7}, "1 h"),
        ({"days": 2, "hours": 5, "minutes": 59}, "2 d 5 h"),
        ({"days": 400}, "400 d"),
    ],
)
def test_a_length_of_time_in_words(span, text):
    assert lasted(timedelta(**span)) == text


def test_a_plain_message_says_what_how_much_since_when_and_where_to_click():
    assert text_of(FIRING) == (
        "[FIRING] [HIGH] High cost (model=gpt-5)\n\n"
        "cost is $512.3 (threshold > $500).\n\n"
        "cost       $512.30\n"
        "threshold  $500.00\n"
        "model      gpt-5\n"
        "severity   high\n"
        "since      2026-03-01 12:00:00 UTC\n\n"
        "Acknowledge or resolve: http://app/alerts?alert=a-1\n"
        "Rule: http://app/rules?rule=r-1\n"
    )


def test_the_end_says_how_long_it_was_and_asks_for_nothing():
    ended = NOON + timedelta(minutes=12)
    over = msgspec.structs.replace(FIRING, status=NoticeStatus.RESOLVED, resolved_at=ended)
    assert facts(over)[-2:] == [("resolved", "2026-03-01 12:12:00 UTC"), ("lasted", "12 min")]
    assert links(over)[0] == ("Open the incident", FIRING.alert_url)
