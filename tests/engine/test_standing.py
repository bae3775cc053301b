"""How a channel stands with its receiver, as the API and the metrics show it."""

from datetime import UTC, datetime, timedelta

import pytest

from data.queries import notifications
from data.queries.notifications import AttemptRow
from engine import channel_store, worker_metrics
from engine.audit import new_id
from engine.breaker import OPENS_AFTER, REST, Phase
from engine.secrets import SecretBox
from engine.standing import Standing, standings
from tests.engine.receivers import NOON, receiving, until
from tests.engine.test_api import api, ask
from tests.engine.test_delivery import Clock, hook, sending, status
from tests.engine.test_delivery_rests import fresh, tripped

__all__ = ["api"]

SECOND = timedelta(seconds=1)
PATH = "/api/notifications/channels"


def ended(store, *results, channel="hook", begun=None):
    """Attempts that ended a second, or no time, apart; a result is its name, or its name and the receiver's status."""
    for n, result in enumerate(results):
        name, code = result if isinstance(result, tuple) else (result, None)
        at = begun or NOON + n * SECOND
        row = AttemptRow(new_id(), new_id(), channel, 1, at, result=name, finished_at=at, status=code)
        statement = notifications.claiming(notifications.NotificationRow(*[""] * 8, at, at), row, until=at)[-1]
        store.transact([statement])


@pytest.mark.parametrize(
    ("results", "after", "expected"),
    [
        ([], 0, Standing()),
        (["failed", "sent"], 2, Standing()),
        (["sent", "retry", "failed"], 3, Standing(Phase.CLOSED, None, None, 2, NOON + SECOND)),
        (["failed"] * 4 + [("retry", 429)] * 3, 8, Standing(Phase.CLOSED, None, None, 4, NOON)),
        (["failed"] * 4 + ["sending", "unknown", "skipped"], 8, Standing(Phase.CLOSED, None, None, 4, NOON)),
        (["failed"] * 5, 6, Standing(Phase.OPEN, NOON + 4 * SECOND, NOON + 4 * SECOND + REST, 5, NOON)),
        (["failed"] * 7, 8, Standing(Phase.OPEN, NOON + 4 * SECOND, NOON + 6 * SECOND + REST, 7, NOON)),
        (
            ["failed"] * 5,
            64,
            Standing(Phase.HALF_OPEN, NOON + 4 * SECOND + REST, NOON + 4 * SECOND + REST, 5, NOON),
        ),
    ],
    ids=["nothing", "back", "two", "patience", "no result", "open", "probed in vain", "half open"],
)
def test_a_standing_is_learned_from_the_attempts(store, results, after, expected):
    ended(store, *results)
    ended(store, *["failed"] * 3, "sent", channel="other")
    known = standings(store, NOON + after * SECOND)
    assert known["hook"] == expected
    assert known["other"] == Standing()


def test_a_channel_made_again_under_its_name_has_nothing_of_the_one_before(store, home):
    made = hook(store, SecretBox(home), "http://127.0.0.1:9/")
    ended(store, *["failed"] * 6, begun=datetime.now(UTC))
    assert standings(store, datetime.now(UTC))["hook"].failures == 6
    channel_store.delete(store, made.id, by="ada")
    hook(store, SecretBox(home), "http://127.0.0.1:9/")
    assert standings(store, datetime.now(UTC))["hook"] == Standing()


async def test_a_channel_shows_its_breaker_and_why_it_was_switched_off(api, store, config):
    box, clock = SecretBox(config.home), Clock()
    async with receiving(400) as bad, receiving(410) as gone:
        made = hook(store, box, bad.url)
        dead = hook(store, box, gone.url, "dead")
        assert (await ask(api, "GET", f"{PATH}/{made.id}"))["breaker"]["state"] == "closed"
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, bad)
            failed = fresh(store, "dead")
            sender.wake()
            await until(lambda: status(store, failed) == "failed")
    shown = {channel["name"]: channel for channel in (await ask(api, "GET", PATH))["items"]}
    breaker = shown["hook"]["breaker"]
    assert (breaker["state"], breaker["failures"]) == ("open", OPENS_AFTER)
    assert breaker["failing_since"] < breaker["since"] < breaker["next_probe_at"]
    assert (shown["hook"]["enabled"], shown["hook"]["auto_disabled"]) == (True, False)
    assert shown["in-app"]["breaker"]["state"] == "closed"
    assert await ask(api, "GET", f"{PATH}/{made.id}") == shown["hook"]
    off = await ask(api, "GET", f"{PATH}/{dead.id}")
    assert (off["enabled"], off["auto_disabled"], off["breaker"]["failures"]) == (False, True, 1)
    assert "410" in off["disabled_reason"]

    told = worker_metrics.text(api.desk, datetime.now(UTC)).decode()
    assert 'claude_proxy_channel_breaker{channel="hook",state="open"} 1.0' in told
    assert 'claude_proxy_channel_breaker{channel="hook",state="half_open"} 0.0' in told
    assert 'claude_proxy_channel_breaker{channel="in-app",state="closed"} 1.0' in told
    assert f'claude_proxy_channel_failures{{channel="hook"}} {OPENS_AFTER}.0' in told
    assert 'claude_proxy_channel_enabled{channel="dead"} 0.0' in told
    later = worker_metrics.text(api.desk, datetime.now(UTC) + REST).decode()
    assert 'claude_proxy_channel_breaker{channel="hook",state="half_open"} 1.0' in later


async def test_switched_off_by_hand_is_not_switched_off_by_itself(api, store, config):
    made = hook(store, SecretBox(config.home), "http://127.0.0.1:9/")
    channel_store.update(store, SecretBox(config.home), made.id, {"enabled": False}, by="ada")
    shown = await ask(api, "GET", f"{PATH}/{made.id}")
    assert (shown["enabled"], shown["auto_disabled"]) == (False, False)


async def test_a_test_that_arrives_ends_the_rest_at_once(api, store, config):
    box, clock = SecretBox(config.home), Clock()
    async with receiving(*[400] * OPENS_AFTER, 200) as receiver:
        made = hook(store, box, receiver.url)
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, receiver)
            assert (await ask(api, "POST", f"{PATH}/{made.id}/test"))["delivered"]
            assert (await ask(api, "GET", f"{PATH}/{made.id}"))["breaker"]["state"] == "closed"
            sent = fresh(store)
            sender.wake()
            await until(lambda: status(store, sent) == "sent")
    assert store.sql("SELECT max(due_at - created_at) < INTERVAL 1 SECOND AS soon FROM notifications")["soon"][0]
