"""Rules, channels and open incidents over the API: a page at a time, whatever happens between two pages."""

import pytest

from engine import channel_store, incidents, rules
from engine.api.paging import cursor_of, place_of
from engine.tick import tick
from tests.engine.test_api import api, ask
from tests.engine.traffic import MINUTE, NOON, SECOND, again, rows, spend, watch

__all__ = ["api"]

RULES, CHANNELS, ACTIVE = "/api/alerts/rules", "/api/notifications/channels", "/api/alerts/active"


async def walk(api, path, limit, between=lambda: None):
    """The pages of a list; `between` is done after the first."""
    pages, cursor = [], ""
    while True:
        answer = await ask(api, "GET", f"{path}?limit={limit}{cursor}")
        pages.append(answer["items"])
        assert len(pages[-1]) <= limit
        if answer["next"] is None:
            return pages
        cursor = f"&cursor={answer['next']}"
        if len(pages) == 1:
            between()


def channel(api, name):
    form = {"url": "https://example.org/", "allow_private": True}
    return channel_store.create(
        api.desk.store, api.desk.box, {"name": name, "kind": "webhook", "config": form}, by="ada"
    )


def opened(store, count):
    """Ids of open incidents, newest first; two of them opened at the same instant."""
    rule = watch(store, group_by=["model"])
    for n in range(count):
        spend(store, NOON + max(n, 1) * MINUTE - SECOND, "2", model=f"m{n}")
    for n in range(1, count):
        tick(store, [again(store, rule.id)], NOON + n * MINUTE)
    found = rows(store, "alerts", "opened_at", "id")
    assert len({at for at, _ in found}) == count - 1
    return [alert_id for _, alert_id in sorted(found, reverse=True)]


async def test_rules_come_by_name_and_those_of_one_name_by_id(api, store):
    made = [watch(store, name=name) for name in ("b", "ä", "a", "b", "c", "b", "Z")]
    pages = await walk(api, RULES, 2)
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    shown = [(rule["name"], rule["id"]) for page in pages for rule in page]
    assert shown == sorted((rule.rule.name, rule.id) for rule in made)
    assert shown == [(rule.name, rule.id) for rule in rules.every(store)]


async def test_a_page_of_rules_has_their_state_as_one_rule_has(api, store):
    opened(store, 2)
    ((rule,),) = await walk(api, RULES, 1)
    assert (rule["state"], rule["health"]) == ("firing", "ok")
    assert rule == await ask(api, "GET", f"{RULES}/{rule['id']}")


async def test_rules_that_come_and_go_between_pages_hide_and_double_none(api, store):
    made = {name: watch(store, name=name) for name in "bdfhj"}

    def between():
        rules.delete(store, made["d"].id, by="ada")  # the last one seen, of which the cursor speaks
        rules.delete(store, made["h"].id, by="ada")
        watch(store, name="a")
        watch(store, name="g")

    pages = await walk(api, RULES, 2, between)
    assert [rule["name"] for page in pages for rule in page] == ["b", "d", "f", "g", "j"]


async def test_channels_come_by_name_with_the_built_in_one_in_its_place(api, store):
    for name in ("hook", "zulu", "alpha", "in-b"):
        channel(api, name)
    for limit in (1, 2, 3, 5, 6):
        pages = await walk(api, CHANNELS, limit)
        assert [each["name"] for page in pages for each in page] == ["alpha", "hook", "in-app", "in-b", "zulu"]
        assert all("breaker" in each for page in pages for each in page)


async def test_channels_that_come_and_go_between_pages_hide_and_double_none(api, store):
    made = {name: channel(api, name) for name in ("b", "d", "x", "y")}

    def between():
        channel_store.delete(store, made["d"].id, by="ada")
        channel(api, "a")

    pages = await walk(api, CHANNELS, 2, between)
    assert [each["name"] for page in pages for each in page] == ["b", "d", "in-app", "x", "y"]


async def test_open_incidents_come_newest_first_with_their_values(api, store):
    ids = opened(store, 5)
    for limit in (1, 2, 4, 5):
        pages = await walk(api, ACTIVE, limit)
        assert [each["id"] for page in pages for each in page] == ids
    assert {each["current_value"] for page in pages for each in page} == {2}


async def test_incidents_that_open_and_end_between_pages_hide_and_double_none(api, store):
    ids = opened(store, 5)

    def between():
        incidents.resolve(store, [ids[1], ids[2]], by="ada", at=NOON + 5 * MINUTE)
        watch(store, name="Other", notify=[])
        spend(store, NOON + 6 * MINUTE - SECOND, "2", model="new")
        tick(store, [again(store, rules.every(store)[0].id)], NOON + 6 * MINUTE)

    pages = await walk(api, ACTIVE, 2, between)
    assert [each["id"] for page in pages for each in page] == [*ids[:2], *ids[3:]]


@pytest.mark.parametrize("path", [RULES, CHANNELS, ACTIVE])
async def test_without_a_limit_a_page_has_fifty_at_most(api, store, path):
    if path == RULES:
        for n in range(51):
            watch(store, name=f"{n:02}")
    elif path == CHANNELS:
        for n in range(50):
            channel(api, f"a{n:02}")
    else:
        rule = watch(store, group_by=["model"])
        for n in range(51):
            spend(store, NOON - SECOND, "2", model=f"m{n}")
        tick(store, [rule], NOON)
    first = await ask(api, "GET", path)
    assert len(first["items"]) == 50
    assert len((await ask(api, "GET", f"{path}?cursor={first['next']}"))["items"]) == 1
    assert (await ask(api, "GET", f"{path}?limit=500"))["next"] is None


@pytest.mark.parametrize("path", [RULES, CHANNELS, ACTIVE])
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "cursor=no!", "cursor=%C3%A4", "cursor=bm8", "cursor=W10", "cursor=WzEsMl0"],
)
async def test_a_limit_or_cursor_that_is_none_is_refused(api, path, query):
    await ask(api, "GET", f"{path}?{query}", 400)


async def test_a_cursor_of_another_list_is_refused(api):
    await ask(api, "GET", f"{ACTIVE}?cursor={cursor_of(('rule', 'id'))}", 400)
    await ask(api, "GET", f"{RULES}?cursor={cursor_of(('in-app',))}", 400)


@pytest.mark.parametrize("place", [("a",), ("", ""), ("ä?&=#+/", "🙂"), ("x" * 200, "y")], ids=str)
def test_a_cursor_goes_through_an_address_as_it_is(place):
    cursor = cursor_of(place)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert place_of(cursor, len(place)) == place


async def test_the_pages_are_described(api):
    document = await ask(api, "GET", "/api/openapi.json")
    for path in (RULES, CHANNELS, ACTIVE):
        asked = {each["name"] for each in document["paths"][path]["get"]["parameters"]}
        assert {"limit", "cursor"} <= asked
