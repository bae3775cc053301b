"""Every page, without data and with it; what the link says is what the page shows."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from data.schema import alerts
from data.store import Statement
from tests.app.conftest import limits

PAGES = ("overview", "explore")


def words(test) -> str:
    """Everything a page says."""
    parts = [*test.markdown, *test.caption, *test.title, *test.warning, *test.get("html")]
    return " ".join(str(getattr(part, "value", None) or part.proto) for part in parts)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_data_says_why_and_what_next(app, page):
    test = app(page)
    assert not test.exception
    assert "No requests yet" in words(test)
    assert "claude-proxy demo load" in words(test)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_data_shows_it(app, full, page):
    test = app(page)
    assert not test.exception
    assert "claude-sonnet-4-5" in words(test) or test.dataframe
    assert test.get("plotly_chart")


def test_the_overview_says_which_program_is_down_and_what_follows(app):
    said = words(app("overview"))
    assert "Proxy down" in said
    assert "no rule is evaluated" in said
    assert "Store up" in said


def test_names_of_others_are_shown_not_run(app, full):
    said = words(app("overview"))
    assert "&lt;b&gt;docs&lt;/b&gt;" in said
    assert "<b>docs</b>" not in said


@pytest.mark.parametrize("by", ["none", "model", "session", "stream", "status"])
def test_explore_answers_every_combination(app, full, by):
    test = app("explore", metrics=["cost", "latency_p95", "active_keys"], by=by, compare="yes")
    for grain in ("auto", "total"):
        test.selectbox(key="grain").set_value(grain).run()
        for chart in ("lines", "bars", "table"):
            test.segmented_control(key="chart").set_value(chart).run()
            assert not test.exception, (grain, chart)


def test_a_link_is_what_the_page_shows(app, full):
    test = app(
        "explore", metrics=["requests", "error_rate"], by="team", range="30d", provider="openai", tz="Asia/Tokyo"
    )
    assert test.multiselect(key="metrics").value == ["requests", "error_rate"]
    assert test.selectbox(key="by").value == "team"
    assert test.session_state["range"] == "30d"
    assert test.session_state["provider"] == ["openai"]
    assert "Requests and error rate by team each day" in words(test)
    assert "provider is openai" in words(test)
    assert "Asia/Tokyo" in words(test)


def test_a_link_with_nonsense_shows_the_default(app, full):
    test = app("explore", metrics="nonsense", by="nonsense", range="1y", grain="eon", chart="pie", tz="Mars/Base")
    assert not test.exception
    assert test.multiselect(key="metrics").value == ["cost"]
    assert not test.query_params


def test_a_choice_is_in_the_link_and_survives_a_visit_to_another_page(app, full):
    test = app("explore")
    test.selectbox(key="by").set_value("team").run()
    assert test.query_params["by"] == "team"
    test.switch_page("../pages/overview.py").run()
    test.switch_page("../pages/explore.py").run()
    assert test.selectbox(key="by").value == "team"


def test_a_filter_leaves_only_what_it_names(app, full):
    test = app("explore", by="provider", provider="openai", grain="total")
    assert test.dataframe[0].value["provider"].to_list() == ["All", "openai"]


def test_a_range_without_requests_says_since_when_there_are_some(app, full):
    test = app("explore", range="custom", **{"from": "2020-01-01T00:00", "to": "2020-01-02T00:00"})
    assert not test.exception
    assert "No requests in this range" in words(test)
    assert "since" in words(test)


def test_explore_shows_providers_limits_by_their_own_dimensions_alone(app, full, store):
    store.transact([limits(datetime.now(UTC))])
    test = app("explore", metrics="provider_limit_used", model="gpt-5", grain="total")
    assert not test.exception
    assert test.selectbox(key="by").options == ["Nothing", "Provider", "Credential", "Limit"]
    assert "Provider limit used by limit," in words(test)
    shown = test.dataframe[0].value
    assert shown["limit"].to_list() == ["All", "tokens", "requests"]
    assert shown["provider_limit_used"].to_list() == [80, 80, 20]
    assert "model" not in test.query_params
    test.selectbox(key="by").set_value("provider").run()
    assert test.dataframe[0].value["provider"].to_list() == ["All", "anthropic", "openai"]
    for grain, chart in (("auto", "lines"), ("auto", "bars"), ("auto", "table"), ("total", "bars")):
        test.selectbox(key="grain").set_value(grain).run()
        test.segmented_control(key="chart").set_value(chart).run()
        assert not test.exception, (grain, chart)
        assert "That cannot be answered" not in words(test)


def test_a_limit_is_filtered_by_what_limits_have(app, full, store):
    store.transact([limits(datetime.now(UTC))])
    test = app("explore", metrics="provider_limit_used", limit="tokens", credential="main", by="none", grain="total")
    assert "where credential is main and limit is tokens" in words(test)
    assert test.dataframe[0].value["provider_limit_used"].to_list() == [80]


def test_a_metric_of_something_else_takes_the_place_of_those_chosen_before_and_gives_it_back(app, full, store):
    store.transact([limits(datetime.now(UTC))])
    test = app("explore", metrics=["cost", "requests"], by="team", team="search")
    test.multiselect(key="metrics").set_value(["cost", "requests", "provider_limit_used"]).run()
    assert not test.exception
    assert test.multiselect(key="metrics").value == ["provider_limit_used"]
    assert "where" not in words(test).partition("Provider limit used by limit")[2].partition(".")[0]
    test.multiselect(key="metrics").set_value(["provider_limit_used", "cost"]).run()
    assert test.multiselect(key="metrics").value == ["cost"]
    assert test.selectbox(key="by").value == "model"
    assert "where team is search" in words(test)


@pytest.mark.parametrize("by", ["none", "limit"])
def test_limits_of_which_nothing_is_known_are_told_from_requests_that_there_are_none_of(app, full, by):
    test = app("explore", metrics="provider_limit_used", by=by)
    assert not test.exception
    assert "No limits known in this range" in words(test)


def test_a_store_that_went_away_is_named_and_the_page_can_be_tried_again(app, full, running, monkeypatch):
    test = app("overview")
    running.stop()
    monkeypatch.setattr("app.context.ensure_running", lambda _: None)
    from app import context

    context.forget()
    test.run()
    assert not test.exception
    assert "The store is down" in words(test)
    assert test.button(key="try-again")


def test_firing_alerts_are_named_worst_first_with_the_way_to_them(app, full, store):
    opened = datetime.now(UTC).replace(tzinfo=None)
    common = {"rule_id": "r", "group_key": "", "labels": "{}", "acknowledged_by": "", "resolved_by": "", "comment": ""}
    for severity, status in (("low", "acknowledged"), ("critical", "firing"), ("high", "resolved")):
        row = common | {"id": severity, "rule_name": severity, "severity": severity, "status": status}
        row |= {"summary": f"{severity} *trouble*", "opened_at": opened}
        store.transact([Statement(insert(alerts).values(**row))])
    said = words(app("overview"))
    assert "2 alerts firing" in said
    assert said.index("critical \\*trouble\\*") < said.index("low \\*trouble\\*")
    assert "high \\*" not in said
