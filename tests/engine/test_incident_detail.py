"""An incident's detail says whether it has all of the incident's notifications and comments."""

import pytest

from data import bulk
from data.schema import alert_comments
from engine import handling, incidents
from engine.audit import new_id
from engine.incidents import MOST
from tests.engine.incident_rows import incident, notice, put
from tests.engine.traffic import NOON, SECOND


def comment(alert_id, second):
    at = NOON + second * SECOND
    return {"id": new_id(), "alert_id": alert_id, "at": at, "author": "ada", "action": "comment", "text": str(second)}


@pytest.mark.parametrize(("each", "more"), [(0, False), (MOST, False), (MOST + 1, True)], ids=["none", "all", "more"])
def test_a_detail_that_is_cut_says_so_and_the_listings_have_the_rest(store, each, more):
    alert = incident("rule", NOON)
    put(
        store,
        incidents=[alert],
        notices=[notice("hook", NOON + n * SECOND, alert_id=alert["id"], notice="{}") for n in range(each)],
    )
    if each:
        store.transact([bulk.inserting(alert_comments, [comment(alert["id"], n) for n in range(each)])])
    detail = incidents.detail(store, alert["id"])
    assert (detail.more_notifications, detail.more_comments) == (more, more)
    assert len(detail.notifications) == len(detail.comments) == min(each, MOST)
    assert [row["created_at"] for row in detail.notifications[:1]] == [NOON + (each - 1) * SECOND] * bool(each)
    if more:
        rest = handling.comments(store, alert["id"], after=detail.comments[-1]["id"])
        assert [row["text"] for row in rest] == [str(MOST)]
