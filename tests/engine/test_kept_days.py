"""Each day's figures outlive the rows that they were counted from."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from data.config import Config, RetentionConfig
from data.errors import ConflictError
from data.queries import alert_days
from data.queries import jobs as job_rows
from data.queries.jobs import JobRow
from data.store import Statement
from engine import kept_days
from engine.desk import Desk
from engine.housekeeping.dropping import dropping
from engine.housekeeping.jobs import regular_jobs
from engine.secrets import SecretBox
from engine.statistics import Source, statistics
from engine.tallies import counted
from tests.engine.incident_rows import HOUR, incident, notice, past, put
from tests.engine.test_api import api, ask
from tests.engine.traffic import MINUTE, NOON, watch

__all__ = ["api"]

DAY = timedelta(days=1)
TODAY = NOON.replace(hour=0)
FOR_EVER = RetentionConfig()
SHORT = RetentionConfig(incidents_days=62, deliveries_days=62)


def desk_of(store, config: Config, retention: RetentionConfig) -> Desk:
    return Desk(replace(config, retention=retention), SecretBox(config.home), connected=store)


def keep(store, at=NOON, retention=FOR_EVER):
    return kept_days.bring_up_to_date(store, retention, at)


def days(store, **span):
    return kept_days.history(store, span.get("start"), span.get("end"), limit=1000)


def plain(found):
    """Figures without what says where they are from, to compare; seconds as far as sums of floats agree."""
    told = {name: getattr(found, name) for name in found.__dataclass_fields__ if name != "sources"}
    return json.loads(json.dumps(told, default=str), parse_float=lambda text: round(float(text), 6))


def count(store, table):
    return store.sql(f"SELECT count(*) AS n FROM {table}")["n"][0]


def test_a_day_has_the_figures_of_what_began_on_it(store):
    opened = TODAY + HOUR
    put(
        store,
        incidents=[
            incident("a", opened, until=opened + HOUR, first_acknowledged_at=opened + MINUTE),
            incident("a", opened + 90 * MINUTE, until=opened + 93 * MINUTE, flapping=True),
            incident("b", opened, severity="low"),
            incident("b", opened - DAY, severity="low", until=opened - 2 * HOUR),
        ],
        notices=[
            notice("mail", opened, took_s=3),
            notice("mail", opened, took_s=5),
            notice("hook", opened, status="failed", took_s=60),
            notice("hook", opened, status="pending"),
            notice("hook", opened, status="silent", reason="silenced"),
            notice("hook", opened, status="bundled", reason="rate_limited", held="first"),
            notice("hook", opened, reason="test"),
        ],
    )
    watch(store, name="quiet")
    assert keep(store) == 2

    today, before = days(store)

    assert (today["day"], today["counted_at"], today["closed"], today["unfinished"]) == (TODAY, NOON, False, 2)
    assert (today["incidents"], today["open"], today["flaps"], today["flapping"]) == (3, 1, 1, 1)
    assert (today["mtta_s"], today["mttr_s"]) == (60, (3600 + 180) / 2)
    assert [(row["rule_name"], row["incidents"]) for row in today["by_rule"]] == [("A", 2), ("B", 1)]
    assert [(row["severity"], row["incidents"]) for row in today["by_severity"]] == [("high", 2), ("low", 1)]
    assert today["suppressed"] == [{"reason": "rate_limited", "n": 1}, {"reason": "silenced", "n": 1}]
    assert today["deliveries"] == [
        {"channel": "hook", "status": "failed", "n": 1, "seconds": 60},
        {"channel": "hook", "status": "pending", "n": 1, "seconds": None},
        {"channel": "mail", "status": "sent", "n": 2, "seconds": 4},
    ]
    assert (today["never_fired"], before["never_fired"], before["incidents"]) == (1, 0, 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kept_days_add_up_to_what_the_rows_said_when_the_rows_are_gone(store, config, seed):
    past(store, TODAY, 100, seed)
    span = (TODAY - 99 * DAY, TODAY + DAY)
    watch(store, name="quiet")
    keep(store)
    before = statistics(store, *span)
    assert [part["source"] for part in before.sources] == [Source.ROWS]
    assert before.incidents > 100

    told = kept_days.history(store, *span, limit=1000)
    run(dropping(desk_of(store, config, SHORT)), NOON)

    assert count(store, "alerts") < before.incidents
    after = statistics(store, *span)
    assert plain(after) == plain(before)
    whole = TODAY - 61 * DAY
    assert after.sources == [
        {"from": span[0], "to": whole, "source": Source.DAYS},
        {"from": whole, "to": span[1], "source": Source.ROWS},
    ]
    closed = {day["day"]: day["closed"] for day in days(store)}
    assert [day for day, done in closed.items() if not done][-1] == whole
    assert [{**day, "closed": False, "counted_at": None} for day in kept_days.history(store, *span, limit=1000)] == [
        {**day, "closed": False, "counted_at": None} for day in told
    ]


def run(job, at):
    return asyncio.run(job.run(at))


def test_what_is_about_to_go_is_counted_first_though_no_job_counted_it(store, config):
    past(store, TODAY, 100)
    span = (TODAY - 99 * DAY, TODAY + DAY)
    before = statistics(store, *span)
    run(dropping(desk_of(store, config, SHORT)), NOON)
    assert plain(statistics(store, *span)) == plain(before)


def test_a_dry_run_counts_and_closes_nothing(store, config):
    past(store, TODAY, 70)
    asyncio.run(dropping(desk_of(store, config, SHORT)).rehearse(NOON))
    assert days(store) == []


def test_what_happens_later_to_an_incident_of_a_day_is_counted_there(store):
    old = incident("a", TODAY - 30 * DAY)
    put(store, incidents=[old], notices=[notice("mail", TODAY - 20 * DAY, status="failed")])
    keep(store)
    assert [(day["open"], day["mttr_s"]) for day in days(store) if day["incidents"]] == [(1, None)]
    store.transact([Statement("UPDATE alerts SET status = 'resolved', resolved_at = opened_at + INTERVAL 1 DAY")])

    assert keep(store, NOON + HOUR) == 9  # that day, today and the week before

    assert [(day["open"], day["mttr_s"]) for day in days(store) if day["incidents"]] == [(0, 86_400)]
    assert keep(store, NOON + 2 * HOUR) == 8


def test_a_closed_day_stays_as_it_was(store, config):
    going_on = incident("a", TODAY - 70 * DAY)
    put(store, incidents=[going_on, incident("b", TODAY - 70 * DAY, until=TODAY - 70 * DAY + HOUR)])
    run(dropping(desk_of(store, config, SHORT)), NOON)
    assert count(store, "alerts") == 1
    assert keep(store, NOON + HOUR, SHORT) == 8
    assert keep(store, NOON + HOUR, FOR_EVER) == 8
    (day,) = [day for day in days(store) if day["incidents"]]
    assert (day["incidents"], day["open"], day["closed"], day["counted_at"]) == (2, 1, True, NOON)


def test_what_was_counted_before_a_day_was_closed_is_not_kept_after(store, monkeypatch):
    put(store, incidents=[incident("a", TODAY, until=TODAY + HOUR)])
    keep(store)

    def closed_meanwhile(of, start, end):
        found = counted(of, start, end)
        store.transact([alert_days.closing(TODAY + DAY)])
        return found

    monkeypatch.setattr(kept_days, "counted", closed_meanwhile)
    with pytest.raises(ConflictError):
        keep(store, NOON + HOUR)
    (day,) = days(store)
    assert (day["incidents"], day["closed"], day["counted_at"]) == (1, True, NOON)


def test_a_worker_that_was_down_for_months_makes_up_for_the_days(store, config):
    past(store, TODAY - 90 * DAY, 5)
    keep(store, NOON - 90 * DAY)
    kept = [day["day"] for day in days(store)]
    put(store, incidents=[incident("a", TODAY - 80 * DAY, until=TODAY - 80 * DAY + HOUR)])
    run(dropping(desk_of(store, config, SHORT)), NOON)
    assert count(store, "alerts") == 0
    assert len(days(store)) == len(kept) + 90
    (day,) = [day for day in days(store, start=TODAY - 81 * DAY) if day["incidents"]]
    assert day["day"] == TODAY - 80 * DAY


def test_days_of_which_rows_had_gone_before_are_not_kept_and_what_is_left_of_them_is_called_so(store, config):
    """As after an upgrade: retention ran before there were days."""
    store.transact(job_rows.writing(JobRow("retention", NOON - DAY, 1.0, True, "", 1, 0)))
    past(store, TODAY, 70)
    keep(store, retention=SHORT)
    whole = TODAY - 62 * DAY
    assert days(store)[-1]["day"] == whole
    run(dropping(desk_of(store, config, SHORT)), NOON)
    found = statistics(store, TODAY - 69 * DAY, TODAY)
    assert [(part["from"], part["source"]) for part in found.sources] == [
        (TODAY - 69 * DAY, Source.REMAINS),
        (whole, Source.DAYS),
        (whole + DAY, Source.ROWS),
    ]


def test_a_day_that_the_range_cuts_through_counts_whole_or_not_at_all(store, config):
    put(store, incidents=[incident("a", at, until=at + MINUTE) for at in (NOON - 90 * DAY, NOON - 89 * DAY)])
    run(dropping(desk_of(store, config, SHORT)), NOON)
    found = statistics(store, NOON - 90 * DAY - HOUR, NOON - 89 * DAY + HOUR)
    assert (found.incidents, found.sources) == (0, [])
    found = statistics(store, TODAY - 90 * DAY, NOON - 89 * DAY + HOUR)
    assert found.incidents == 1
    assert found.sources == [{"from": TODAY - 90 * DAY, "to": TODAY - 89 * DAY, "source": Source.DAYS}]


def test_kept_days_go_at_their_own_age_but_for_the_last_whose_rows_are_gone(store, config):
    past(store, TODAY, 100)
    both = replace(SHORT, statistics_days=62)
    run(dropping(desk_of(store, config, both)), NOON)
    left = days(store)
    assert (left[-1]["day"], len(left)) == (TODAY - 62 * DAY, 63)
    assert left[-1]["closed"]
    assert store.sql("SELECT min(day) AS day FROM alert_day_incidents")["day"][0] >= TODAY - 62 * DAY
    found = statistics(store, TODAY - 90 * DAY, TODAY)
    assert [part["source"] for part in found.sources] == [Source.REMAINS, Source.DAYS, Source.ROWS]


def test_a_flap_over_midnight_is_one_of_the_later_day_also_where_counting_begins_there(store):
    midnight = TODAY - 7 * DAY
    before = incident("a", midnight - 3 * DAY, until=midnight - 10 * MINUTE)
    put(store, incidents=[before, incident("a", midnight + 10 * MINUTE)])
    for hours in (0, 1):
        keep(store, NOON + hours * HOUR)
        assert [(day["day"], day["flaps"]) for day in days(store) if day["incidents"]] == [
            (midnight, 1),
            (midnight - 3 * DAY, 0),
        ]


async def test_the_job_is_one_of_the_regular_ones(store, config):
    past(store, TODAY, 3)
    (job,) = [job for job in regular_jobs(desk_of(store, config, FOR_EVER), None) if job.name == "statistics"]
    assert await job.run(NOON) == "3 days counted, up to 2026-03-01 12:00"
    assert job.every == HOUR


async def test_days_come_over_the_api_newest_first_and_the_rest_says_what_it_is_from(api, store, config):
    past(store, TODAY, 5)
    put(store, incidents=[incident("a", TODAY - 100 * DAY, until=TODAY - 100 * DAY + HOUR)])
    await dropping(desk_of(store, config, SHORT)).run(NOON)
    path = "/api/alerts/stats/history"
    first = await ask(api, "GET", f"{path}?limit=60")
    rest = await ask(api, "GET", f"{path}?limit=60&cursor={first['next']}")
    shown = [day["day"] for day in first["items"] + rest["items"]]
    assert shown == [f"{TODAY - n * DAY:%Y-%m-%dT00:00:00Z}" for n in range(101)]
    assert rest["next"] is None
    assert (rest["items"][-1]["closed"], rest["items"][-1]["by_rule"][0]["rule_name"]) == (True, "A")
    some = await ask(api, "GET", f"{path}?from=2026-02-26&to=2026-02-28")
    assert [day["day"][:10] for day in some["items"]] == ["2026-02-27", "2026-02-26"]
    await ask(api, "GET", f"{path}?cursor=no", 400)

    stats = await ask(api, "GET", "/api/alerts/stats?from=2025-11-01&to=2026-03-02")
    assert [part["source"] for part in stats["sources"]] == ["remains", "days", "rows"]
    assert stats["by_day"][0]["day"] == f"{TODAY - 100 * DAY:%Y-%m-%d}"
