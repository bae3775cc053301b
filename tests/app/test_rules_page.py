"""The Rules page: a rule is made by clicking, shown as it is stored, switched, tried on history and deleted."""

from datetime import UTC, datetime, timedelta

import pytest

from engine import channel_store, rules, silences
from engine.history import EPOCH
from engine.secrets import SecretBox
from tests.app.conftest import limits

NESTED = {
    "name": "Spend",
    "severity": "high",
    "warn_severity": "low",
    "where": {"provider": "openai"},
    "when": {
        "all": [
            {
                "metric": "cost",
                "window": "1d",
                "op": ">",
                "value": 500,
                "recovery": 450,
                "warn": 400,
                "warn_recovery": 380,
            },
            {"metric": "cost", "window": "1d", "compare": {"to": "previous"}, "op": ">", "value": 20},
            {"any": [{"not": {"any": [{"metric": "error_rate", "window": "5m", "op": ">=", "value": 10}]}}]},
        ]
    },
    "group_by": ["model"],
    "for": "90s",
    "cooldown": "1h",
    "no_data": "keep",
    "labels": {"team": "platform"},
    "runbook": "https://runbook.example",
    "notify": ["ops"],
    "warn_notify": ["desk"],
    "fallback": ["desk"],
}


@pytest.fixture
def channels(store, home):
    """The channels that `NESTED` names."""
    for name in ("ops", "desk"):
        made = {"name": name, "kind": "webhook", "config": {"url": "https://hook.example"}}
        channel_store.create(store, SecretBox(home), made, by="me")


def words(test) -> str:
    """Everything the page says."""
    parts = [*test.markdown, *test.caption, *test.title, *test.info, *test.warning, *test.error, *test.get("html")]
    return " ".join(str(getattr(part, "value", None) or part.proto) for part in parts)


def ending(elements, *, key: str):
    """The newest of the elements whose key ends like this."""
    return [each for each in elements if each.key and each.key.endswith(key)][-1]


def test_without_rules_it_says_what_a_rule_is(app):
    test = app("rules")
    assert not test.exception
    assert "No rules yet" in words(test)


def test_a_nested_rule_is_made_by_clicking_and_stored_as_it_says(app, store):
    test = app("rules")
    test.button(key="new-rule").click().run()
    assert test.title[0].value == "New rule"
    ending(test.text_input, key="-name").set_value("Nested").run()
    ending(test.selectbox, key="-severity").set_value("high").run()
    ending(test.number_input, key="-value").set_value(2.5).run()
    ending(test.button, key="-add-Group").click().run()
    ending(test.selectbox, key="-kind").set_value("none").run()
    ending(test.selectbox, key="-metric").set_value("latency_p95").run()
    ending(test.selectbox, key="-op").set_value("<=").run()
    ending(test.number_input, key="-value").set_value(8000.0).run()
    ending(test.selectbox, key="-compare").set_value("1d").run()
    ending(test.segmented_control, key="-as").set_value("difference").run()
    ending(test.multiselect, key="-group").set_value(["model"]).run()
    ending(test.selectbox, key="-for").set_value("10m").run()
    assert not test.exception
    test.button(key="save-rule").click().run()
    (saved,) = rules.every(store)
    assert saved.document == {
        "name": "Nested",
        "severity": "high",
        "notify": ["in-app"],
        "when": {
            "all": [
                {"metric": "cost", "window": "1h", "op": ">", "value": 2.5},
                {
                    "not": {
                        "any": [
                            {
                                "metric": "latency_p95",
                                "window": "1h",
                                "op": "<=",
                                "value": 8000,
                                "compare": {"to": "1d", "as": "difference"},
                            }
                        ]
                    }
                },
            ]
        },
        "group_by": ["model"],
        "for": "10m",
    }
    assert test.title[0].value == "Rules"
    assert "Nested" in words(test)


def test_a_rule_about_a_providers_limit_is_made_by_clicking(app, store):
    store.transact([limits(datetime.now(UTC))])
    test = app("rules")
    test.button(key="new-rule").click().run()
    ending(test.text_input, key="-name").set_value("Limit").run()
    ending(test.selectbox, key="-metric").set_value("provider_limit_used").run()
    filters = [
        each
        for each in test.multiselect
        if each.key.partition("-where-")[0] == ending(test.multiselect, key="-where-limit").key.partition("-where-")[0]
    ]
    assert [each.label for each in filters] == ["Provider", "Credential", "Limit"]
    assert ending(test.multiselect, key="-where-limit").options == ["requests", "tokens"]
    ending(test.multiselect, key="-where-limit").set_value(["tokens"]).run()
    ending(test.multiselect, key="-group").set_value(["credential"]).run()
    test.button(key="save-rule").click().run()
    (saved,) = rules.every(store)
    condition = {"metric": "provider_limit_used", "window": "1h", "op": ">", "value": 10, "where": {"limit": "tokens"}}
    assert (saved.document["when"], saved.document["group_by"]) == ({"all": [condition]}, ["credential"])


def test_a_filter_that_a_limit_does_not_have_can_be_taken_away(app, store):
    test = app("rules")
    test.button(key="new-rule").click().run()
    ending(test.text_input, key="-name").set_value("Limit").run()
    first = test.multiselect[0].key.partition("-where-")[0]
    test.multiselect(key=f"{first}-where-model").set_value(["gpt-5"]).run()
    ending(test.selectbox, key="-metric").set_value("provider_limit_used").run()
    assert "Not a rule yet" in words(test)
    test.multiselect(key=f"{first}-where-model").set_value([]).run()
    assert "Not a rule yet" not in words(test)


def test_opening_and_saving_a_rule_changes_nothing_in_it(app, store, channels):
    stored = rules.save(store, NESTED, by="me")
    test = app("rules")
    test.button(key=f"edit-{stored.id}").click().run()
    assert test.title[0].value == "Edit rule"
    test.button(key="save-rule").click().run()
    again = rules.get(store, stored.id)
    assert (again.version, again.document) == (2, stored.document)


def test_a_link_opens_the_rule_and_leaving_takes_the_link_away(app, store, channels):
    stored = rules.save(store, NESTED, by="me")
    test = app("rules", rule=stored.id)
    assert ending(test.text_input, key="-name").value == "Spend"
    test.button(key="cancel-rule").click().run()
    assert test.title[0].value == "Rules"
    assert "rule" not in test.query_params


def test_a_link_to_no_rule_shows_the_list(app):
    test = app("rules", rule="nonsense")
    assert not test.exception
    assert test.title[0].value == "Rules"
    assert test.toast[0].value == "There is no such rule any more."


def test_what_is_wrong_is_said_with_its_field_and_cannot_be_saved(app):
    test = app("rules")
    test.button(key="new-rule").click().run()
    ending(test.number_input, key="-recovery").set_value(20.0).run()
    assert not test.exception
    said = test.warning[0].value
    assert "`name` must not be empty" in said or "`name` is required" in said
    assert "`when.all[0]` recovery must be at most value with \\>" in said
    assert test.button(key="save-rule").disabled


def test_an_edit_over_somebody_elses_is_stopped_and_can_be_settled(app, store, channels):
    stored = rules.save(store, NESTED, by="me")
    test = app("rules", rule=stored.id)
    rules.save(store, {**NESTED, "name": "Theirs"}, by="them", rule_id=stored.id)
    test.button(key="save-rule").click().run()
    assert "Somebody changed this rule" in words(test)
    assert rules.get(store, stored.id).name == "Theirs"
    test.button(key="keep-mine").click().run()
    test.button(key="save-rule").click().run()
    assert rules.get(store, stored.id).name == "Spend"


def test_theirs_can_be_taken_instead(app, store, channels):
    stored = rules.save(store, NESTED, by="me")
    test = app("rules", rule=stored.id)
    rules.save(store, {**NESTED, "name": "Theirs"}, by="them", rule_id=stored.id)
    test.button(key="save-rule").click().run()
    test.button(key="load-theirs").click().run()
    assert ending(test.text_input, key="-name").value == "Theirs"
    assert "Somebody changed" not in words(test)


def test_a_rule_is_paused_resumed_and_deleted(app, store, channels):
    stored = rules.save(store, NESTED, by="me")
    test = app("rules")
    test.button(key=f"toggle-{stored.id}").click().run()
    assert "Paused: it is not evaluated." in words(test)
    test.button(key=f"toggle-{stored.id}").click().run()
    assert rules.get(store, stored.id).enabled
    test.button(key=f"sure-{stored.id}").click().run()
    assert rules.every(store) == []
    assert "No rules yet" in words(test)


def test_a_name_is_shown_not_run(app, store, channels):
    rules.save(store, {**NESTED, "name": "[x](http://evil.example) $a$ :red[b]"}, by="me")
    said = words(app("rules"))
    assert r"\[x\]\(http\:" in said


@pytest.mark.parametrize("days", ["1d", "7d"])
def test_a_simulation_shows_what_would_have_been(app, store, full, days, channels):
    rule = {"name": "Cost", "when": {"all": [{"metric": "cost", "window": "1h", "op": ">", "value": 0.3}]}}
    stored = rules.save(store, {**rule, "group_by": ["provider"], "notify": ["ops"]}, by="me")
    test = app("rules", rule=stored.id)
    test.segmented_control(key="trial-range").set_value(days).run()
    test.button(key="simulate").click().run()
    assert not test.exception
    assert "Time firing" in words(test)
    assert test.get("plotly_chart")
    assert set(test.dataframe[0].value["Channel"]) == {"ops"}


def test_a_simulation_is_of_the_rule_that_is_open_and_of_no_other(app, store, full, channels):
    cost = {"when": {"metric": "cost", "window": "1h", "op": ">", "value": 0.3}, "notify": ["ops"]}
    loud, quiet = (rules.save(store, {**cost, "name": name}, by="me") for name in ("Loud", "Quiet"))
    now = datetime.now(UTC)
    long_ago, later = now - timedelta(days=30), now + timedelta(days=1)
    silences.create(store, {"rule_id": quiet.id}, ends_at=later, by="me", now=long_ago)

    test = app("rules", rule=loud.id)
    test.button(key="simulate").click().run()
    said = set(test.dataframe[0].value["Reason"])
    test.query_params["rule"] = quiet.id
    test.run()
    assert "Press Simulate" in words(test)
    test.button(key="simulate").click().run()

    assert not test.exception
    assert set(test.dataframe[0].value["Reason"]) == {"silenced"}
    assert "silenced" not in said


def test_a_simulated_threshold_can_be_taken_into_the_form(app, store, full):
    rule = {"name": "Cost", "when": {"all": [{"metric": "cost", "window": "1h", "op": ">", "value": 10}]}}
    test = app("rules", rule=rules.save(store, rule, by="me").id)
    test.button(key="simulate").click().run()
    test.slider[0].set_value(2.5).run()
    test.button(key="use-threshold").click().run()
    assert not test.exception
    assert ending(test.number_input, key="-value").value == 2.5
    assert "$2" in words(test)


def test_a_simulation_is_the_api_s_at_the_same_instants_and_says_where_less_often(app, store, full):
    rule = {"name": "Cost", "when": {"all": [{"metric": "cost", "window": "1h", "op": ">", "value": 0.3}]}}
    for every, is_coarser in (("7m", False), ("10s", True)):
        test = app("rules", rule=rules.save(store, {**rule, "name": every, "every": every}, by="me").id)
        test.button(key="simulate").click().run()
        assert not test.exception
        _, (history, _) = test.session_state["trial-history"]
        assert (history.grid.start - EPOCH) % history.grid.step == timedelta(0)
        assert ("Simulated every minute, where the rule looks every 10 seconds" in words(test)) is is_coarser


def test_a_simulation_without_requests_says_so(app, store):
    rule = {"name": "Slow", "when": {"all": [{"metric": "latency_p95", "window": "1h", "op": ">", "value": 10}]}}
    test = app("rules", rule=rules.save(store, rule, by="me").id)
    test.button(key="simulate").click().run()
    assert not test.exception
    assert "nothing to draw" in words(test)
