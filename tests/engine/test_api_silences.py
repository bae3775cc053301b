"""Silences over the API: those of a state, a page at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from engine import silences
from tests.engine.test_api import api, ask

__all__ = ["api"]

PATH = "/api/alerts/silences"
HOUR = timedelta(hours=1)


@pytest.fixture
def made(store):
    """Of each state two, the oldest first: active, pending, expired."""
    now = datetime.now(UTC)
    spans = {"active": (-HOUR, HOUR), "pending": (HOUR, 2 * HOUR), "expired": (-2 * HOUR, -HOUR)}
    for state, (start, end) in spans.items():
        for n in "12":
            matchers = {"rule": f"{state} {n}"}
            silences.create(store, matchers, starts_at=now + start, ends_at=now + end, by="ada", now=now - 3 * HOUR)


def names(answer):
    return [silence["matchers"]["rule"] for silence in answer["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["expired 2", "expired 1", "pending 2", "pending 1", "active 2", "active 1"]),
        ("?state=active", ["active 2", "active 1"]),
        ("?state=pending", ["pending 2", "pending 1"]),
        ("?state=expired", ["expired 2", "expired 1"]),
        ("?state=active,pending", ["pending 2", "pending 1", "active 2", "active 1"]),
    ],
)
async def test_silences_are_found_by_their_state(api, made, query, expected):
    assert names(await ask(api, "GET", PATH + query)) == expected


async def test_a_time_without_a_zone_is_utc(api):
    body = {"matchers": {"rule": "x"}, "starts_at": "2190-01-01T10:00:00", "ends_at": "2190-01-01T12:00:00+01:00"}
    made = await ask(api, "POST", PATH, 201, json=body)
    assert (made["starts_at"], made["ends_at"]) == ("2190-01-01T10:00:00Z", "2190-01-01T11:00:00Z")
    refused = await ask(api, "POST", PATH, 422, json={**body, "ends_at": "2190-01-01T10:00:00"})
    assert refused["errors"] == [{"path": "ends_at", "message": "must be later than starts_at"}]


async def test_silences_are_paged(api, made):
    first = await ask(api, "GET", f"{PATH}?state=active,expired&limit=3")
    rest = await ask(api, "GET", f"{PATH}?state=active,expired&limit=3&cursor={first['next']}")
    assert names(first) + names(rest) == ["expired 2", "expired 1", "active 2", "active 1"]
    assert rest["next"] is None


async def test_one_in_force_is_found_behind_many_newer_ones(api, store):
    now = datetime.now(UTC)
    silences.create(store, {"rule": "old"}, ends_at=now + HOUR, by="ada", now=now - HOUR)
    for n in range(60):
        silences.create(
            store, {"rule": str(n)}, starts_at=now - 2 * HOUR, ends_at=now - HOUR, by="ada", now=now - 2 * HOUR
        )
    assert names(await ask(api, "GET", f"{PATH}?state=active")) == ["old"]
    assert len((await ask(api, "GET", f"{PATH}?limit=500"))["items"]) == 61


async def test_a_state_that_there_is_not_is_refused(api):
    assert (
        "state must be among active, pending, expired" in (await ask(api, "GET", f"{PATH}?state=over", 400))["detail"]
    )


async def test_a_silence_made_is_shown_alike_in_the_list(api):
    ends = (datetime.now(UTC) + HOUR).isoformat()
    made = await ask(api, "POST", PATH, 201, json={"matchers": {"rule": "x"}, "ends_at": ends, "comment": "move"})
    assert (await ask(api, "GET", PATH))["items"] == [made]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=ACTIVE", ["active 2", "active 1"]),
        ("q=move", ["moved"]),
        ("q=grace", ["moved"]),
        ("q=ada&state=pending", ["pending 2", "pending 1"]),
        ("q=%25", []),
        ("q=", ["moved", "expired 2", "expired 1", "pending 2", "pending 1", "active 2", "active 1"]),
    ],
)
async def test_silences_are_found_by_their_words(api, store, made, query, expected):
    later = datetime.now(UTC) + HOUR
    silences.create(store, {"rule": "moved"}, ends_at=later, by="Grace", comment="We Move")
    found, cursor = [], ""
    while cursor is not None:
        page = await ask(api, "GET", f"{PATH}?{query}&limit=1&cursor={cursor}")
        found, cursor = found + names(page), page["next"]
    assert found == expected


async def test_a_silence_is_read_changed_and_sent_back(api):
    now = datetime.now(UTC)
    made = await ask(api, "POST", PATH, 201, json={"matchers": {"rule": "x"}, "ends_at": (now + HOUR).isoformat()})
    path = f"{PATH}/{made['id']}"
    read = await ask(api, "GET", path)
    assert (read, read["version"]) == (made, 1)

    later = (now + 2 * HOUR).isoformat()
    changed = await ask(api, "PUT", path, json={**read, "ends_at": later, "by": "grace"})
    assert changed == {**read, "ends_at": changed["ends_at"], "version": 2}
    assert datetime.fromisoformat(changed["ends_at"]) == now + 2 * HOUR
    assert (await ask(api, "GET", PATH))["items"] == [changed]

    stale = await ask(api, "PUT", path, 409, json=read)
    assert stale["current_version"] == 2
    await ask(api, "PUT", path, 409, json={"comment": "x"}, headers={"If-Match": '"1"'})
    await ask(api, "PUT", path, 409, json={"matchers": {"rule": "y"}})
    await ask(api, "DELETE", f"{path}?version=1", 409)
    await ask(api, "DELETE", path, 409, headers={"If-Match": '"1"'})
    ended = await ask(api, "DELETE", f"{path}?version=2")
    assert ended["version"] == 3
    await ask(api, "PUT", path, 409, json={"ends_at": later})

    lines = (await ask(api, "GET", f"/api/alerts/audit?object={made['id']}"))["items"]
    assert [(line["actor"], line["action"]) for line in lines] == [
        ("api", "end"),
        ("grace", "update"),
        ("api", "create"),
    ]
    assert lines[1]["detail"]["version"] == 2


@pytest.mark.parametrize(
    ("method", "query", "body", "status"),
    [
        ("GET", "", None, 404),
        ("PUT", "", {}, 404),
        ("PUT", "", {"matchers": {}}, 422),
        ("PUT", "", {"ends_at": "soon"}, 422),
        ("PUT", "", {"until": "2030-01-01T00:00:00Z"}, 422),
        ("PUT", "", {"version": 0}, 422),
        ("DELETE", "?version=x", None, 400),
    ],
)
async def test_what_makes_no_sense_of_a_silence_is_refused(api, method, query, body, status):
    await ask(api, method, f"{PATH}/nobody{query}", status, json=body)
