"""Changes over the API that name what they were made from, and the pages of a rule's versions."""

import pytest

from engine import rules
from engine.api.paging import cursor_of
from tests.engine.test_api import api, ask
from tests.engine.traffic import COSTLY, watch

__all__ = ["api"]

CHANNELS = "/api/notifications/channels"
HOOK = {"name": "hook", "kind": "webhook", "config": {"url": "https://example.org/", "allow_private": True}}


@pytest.mark.parametrize(
    ("body", "headers"), [({"version": 1}, {}), ({}, {"If-Match": '"1"'})], ids=["in the body", "in the header"]
)
async def test_a_switch_of_a_passed_version_is_a_conflict(api, store, body, headers):
    path = f"/api/alerts/rules/{watch(store).id}"
    off = await ask(api, "POST", f"{path}/toggle", json=body, headers=headers)
    assert (off["version"], off["enabled"]) == (2, False)
    for more in ({}, {"enabled": False}):
        stale = await ask(api, "POST", f"{path}/toggle", 409, json={**body, **more}, headers=headers)
        assert stale["current_version"] == 2
    assert (await ask(api, "GET", path))["version"] == 2
    assert (await ask(api, "POST", f"{path}/toggle", json={}))["enabled"] is True


@pytest.mark.parametrize("version", [0, "x", 10**10])
async def test_a_switch_of_a_version_that_is_none_is_refused(api, store, version):
    await ask(api, "POST", f"/api/alerts/rules/{watch(store).id}/toggle", 422, json={"version": version})


@pytest.mark.parametrize("header", [False, True], ids=["in the query", "in the header"])
async def test_a_channel_that_was_changed_meanwhile_is_not_deleted(api, header):
    made = await ask(api, "POST", CHANNELS, 201, json=HOOK)
    path = f"{CHANNELS}/{made['id']}"
    changed = await ask(api, "PUT", path, json={"config": HOOK["config"], "enabled": False})

    async def delete(status, read_at):
        options = {"headers": {"If-Match": f'"{read_at}"'}} if header else {"params": {"updated_at": read_at}}
        return await ask(api, "DELETE", path, status, **options)

    assert "changed meanwhile" in (await delete(409, made["updated_at"]))["detail"]
    await delete(400, "yesterday")
    assert await ask(api, "GET", path) == changed | {"breaker": (await ask(api, "GET", path))["breaker"]}
    await delete(204, changed["updated_at"])
    await ask(api, "GET", path, 404)


async def test_a_channel_goes_also_without_saying_which_state_is_meant(api):
    made = await ask(api, "POST", CHANNELS, 201, json=HOOK)
    await ask(api, "DELETE", f"{CHANNELS}/{made['id']}", 204)
    await ask(api, "DELETE", f"{CHANNELS}/{made['id']}", 404)


async def test_versions_come_a_page_at_a_time_each_with_its_own_changes(api, store):
    rule = watch(store)
    for severity in ("low", "medium", "info", "critical"):
        rules.save(store, {**COSTLY, "severity": severity}, rule_id=rule.id, by="ada")
    path = f"/api/alerts/rules/{rule.id}/versions"
    (whole, end) = (await ask(api, "GET", path)).values()
    assert ([each["version"] for each in whole], end) == ([5, 4, 3, 2, 1], None)
    assert [len(each["changes"]) for each in whole] == [1, 1, 1, 1, 0]
    for limit in (1, 2, 4, 5):
        found, cursor = [], ""
        while cursor is not None:
            page = await ask(api, "GET", f"{path}?limit={limit}&cursor={cursor}")
            assert len(page["items"]) <= limit
            found, cursor = found + page["items"], page["next"]
        assert found == whole


async def test_a_version_made_between_two_pages_hides_and_doubles_none(api, store):
    rule = watch(store)
    rules.save(store, {**COSTLY, "severity": "low"}, rule_id=rule.id, by="ada")
    path = f"/api/alerts/rules/{rule.id}/versions"
    first = await ask(api, "GET", f"{path}?limit=1")
    rules.save(store, COSTLY, rule_id=rule.id, by="ada")
    rules.delete(store, rule.id, by="ada")
    second = await ask(api, "GET", f"{path}?limit=1&cursor={first['next']}")
    assert [page["items"][0]["version"] for page in (first, second)] == [2, 1]
    assert second["next"] is None


async def test_pages_of_versions_that_there_are_not(api, store):
    path = f"/api/alerts/rules/{watch(store).id}/versions"
    assert await ask(api, "GET", f"{path}?cursor={cursor_of(('1',))}") == {"items": [], "next": None}
    await ask(api, "GET", f"{path}?cursor={cursor_of(('x',))}", 400)
    await ask(api, "GET", f"{path}?limit=0", 400)
    for query in ("", f"?cursor={cursor_of(('3',))}"):
        await ask(api, "GET", f"/api/alerts/rules/nobody/versions{query}", 404)
