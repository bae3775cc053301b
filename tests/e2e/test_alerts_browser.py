"""The alert grid in a real browser: choosing rows, doing something to them, and how little is sent for that."""

from datetime import UTC, datetime, timedelta

import pytest

from data import bulk
from data.schema import alerts
from engine import incidents
from tests.e2e.browser import opened, settle
from tests.e2e.stack import until

pytestmark = pytest.mark.browser
MANY = 2_000


def _incident(number: int, now: datetime) -> dict[str, object]:
    return {
        "id": f"00000000-0000-7000-8000-{number:012d}",
        "rule_id": "gone",
        "rule_name": f"Rule {number}",
        "severity": ("critical", "low")[number % 2],
        "group_key": "",
        "labels": "{}",
        "status": "firing",
        "summary": "cost is $12 (threshold > $10).",
        "value": 12.0,
        "threshold": 10.0,
        "opened_at": (now - timedelta(minutes=number)).replace(tzinfo=None),
        "acknowledged_by": "",
        "resolved_by": "",
        "comment": "",
    }


def test_chosen_incidents_are_taken_on_together_and_only_their_ids_are_sent(make_stack):
    stack = make_stack(ui=True)
    store, now = stack.store(), datetime.now(UTC)
    store.transact([bulk.inserting(alerts, [_incident(number, now) for number in range(MANY)])])
    sent: list[int] = []
    with opened(f"{stack.ui}/alerts") as page:
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(len(frame))))
        page.reload()
        settle(page)
        grid = page.frame_locator("iframe[title*=aggrid i], iframe[title*=AgGrid i]")
        boxes = grid.locator(".ag-row .ag-checkbox-input")
        boxes.nth(0).click()
        page.get_by_text("Who was told").wait_for()
        boxes.nth(2).click()
        page.get_by_role("button", name="Acknowledge 2").click()
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("Comment").fill("on it")
        page.get_by_role("button", name="Acknowledge 2 incidents").click()
        page.get_by_text("Acknowledged 2.").wait_for()
        grid.locator(".ag-row", has_text="on it").nth(1).wait_for()
        assert grid.locator(".ag-row-selected").count() >= 2
        assert max(sent) < 20_000
    assert _taken(store) == {_incident(0, now)["id"], _incident(2, now)["id"]}


def _taken(store) -> set[str]:
    rows = until(lambda: [row for row in incidents.active(store) if row["acknowledged_by"] == "Ann"], what="taken on")
    return {row["id"] for row in rows}
