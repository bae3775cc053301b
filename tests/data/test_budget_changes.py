from datetime import UTC, datetime, timedelta

import pytest

from data import budget_changes
from data.budgets import Budget, Grant, Raise
from data.connection import Connection
from data.errors import BudgetFault, ConflictError, NoSuchBudget, StoreUnavailable

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def connection(running, config):
    opened = Connection.open(config)
    yield opened
    opened.close()


def budget(name="core", **more):
    return Budget.model_validate({"name": name, "amount_usd": 10, "period": "month", **more})


def audit(connection):
    rows = connection.rows('SELECT actor, action, object_id, detail FROM audit_log ORDER BY "at", action')
    return [(row["actor"], row["action"], row["object_id"], row["detail"]) for row in rows]


def test_a_budget_is_kept_changed_and_ended_and_each_leaves_a_line(connection):
    made = budget_changes.create(connection, budget(), by="ann", now=NOW)
    assert budget_changes.every(connection) == [made]
    changed = budget_changes.replace(connection, "core", budget("web", amount_usd=5), by="bob", now=LATER, version=1)
    assert (changed.id, changed.version, changed.created_at, changed.updated_at) == (made.id, 2, NOW, LATER)
    assert budget_changes.get(connection, made.id) == budget_changes.get(connection, "web") == changed
    budget_changes.remove(connection, "web", by="ann", now=LATER + timedelta(hours=1), version=2)
    assert budget_changes.every(connection) == []
    assert audit(connection) == [
        ("ann", "budget.create", made.id, '{"name": "core", "version": 1}'),
        ("bob", "budget.replace", made.id, '{"name": "web", "version": 2}'),
        ("ann", "budget.delete", made.id, '{"name": "web", "version": 2}'),
    ]


def test_a_name_is_used_once(connection):
    budget_changes.create(connection, budget(), by="ann", now=NOW)
    budget_changes.create(connection, budget("web"), by="ann", now=NOW)
    with pytest.raises(ConflictError, match="'core' is there already"):
        budget_changes.create(connection, budget(), by="ann", now=NOW)
    with pytest.raises(ConflictError):
        budget_changes.replace(connection, "web", budget("core"), by="ann", now=NOW)
    assert len(audit(connection)) == 2


def test_a_change_from_an_old_version_is_refused(connection):
    budget_changes.create(connection, budget(), by="ann", now=NOW)
    budget_changes.replace(connection, "core", budget(amount_usd=1), by="ann", now=NOW)
    for change in (
        lambda: budget_changes.replace(connection, "core", budget(), by="ann", now=NOW, version=1),
        lambda: budget_changes.remove(connection, "core", by="ann", now=NOW, version=1),
    ):
        with pytest.raises(ConflictError, match="has version 2"):
            change()


def test_what_is_not_there_cannot_be_changed(connection):
    with pytest.raises(NoSuchBudget):
        budget_changes.replace(connection, "none", budget(), by="ann", now=NOW)
    with pytest.raises(NoSuchBudget):
        budget_changes.remove(connection, "none", by="ann", now=NOW)


def test_raises_and_grants_are_added_and_raises_that_are_over_go(connection):
    budget_changes.create(connection, budget(), by="ann", now=NOW)
    first = Raise.model_validate({"amount_usd": 1, "from": NOW, "until": NOW + timedelta(minutes=1), "by": "ann"})
    second = Raise.model_validate({"amount_usd": 2, "from": LATER, "until": LATER + timedelta(days=1), "by": "ann"})
    grant = Grant.model_validate({"amount_usd": 3, "at": LATER, "by": "ann"})
    budget_changes.raise_for_a_while(connection, "core", first, by="ann", now=NOW)
    budget_changes.raise_for_a_while(connection, "core", second, by="ann", now=LATER)
    kept = budget_changes.grant(connection, "core", grant, by="ann", now=LATER)
    assert kept.budget.raises == (second,)
    assert kept.budget.grants == (grant,)
    assert budget_changes.get(connection, "core") == kept
    assert [line[1] for line in audit(connection)] == [
        "budget.create", "budget.raise", "budget.grant", "budget.raise",
    ]  # fmt: skip


def test_what_is_for_once_begins_to_count_when_it_is_made_and_goes_on(connection):
    made = budget_changes.create(connection, budget(period="once"), by="ann", now=NOW)
    assert made.budget.starts_at == NOW
    changed = budget_changes.replace(connection, "core", budget(period="once", amount_usd=1), by="ann", now=LATER)
    assert changed.budget.shape == made.budget.shape


def test_too_many_raises_are_a_fault_of_the_budget(connection):
    many = [{"amount_usd": 1, "from": NOW, "until": LATER}] * 200
    budget_changes.create(connection, budget(raises=many), by="ann", now=NOW)
    more = Raise.model_validate(many[0])
    with pytest.raises(BudgetFault, match="raises"):
        budget_changes.raise_for_a_while(connection, "core", more, by="ann", now=NOW)


def test_a_document_that_cannot_be_read_hides_no_other(connection, store):
    made = budget_changes.create(connection, budget(), by="ann", now=NOW)
    budget_changes.create(connection, budget("odd"), by="ann", now=NOW)
    connection.transact([])
    from data.protocol import Change

    connection.transact([Change("UPDATE budgets SET document = '{}' WHERE name = 'odd'", [], 1)])
    assert budget_changes.every(connection) == [made]
    with pytest.raises(BudgetFault, match="cannot be read"):
        budget_changes.get(connection, "odd")


def test_a_fault_names_every_field():
    with pytest.raises(BudgetFault) as raised:
        budget_changes.read({"name": "", "amount_usd": -1, "period": "day", "scope": {"kind": "team"}})
    said = str(raised.value)
    assert all(field in said for field in ("name: ", "amount_usd: ", "scope: a scope by team needs a value"))


def test_without_a_store_a_change_says_so(connection, running):
    running.stop()
    with pytest.raises(StoreUnavailable):
        budget_changes.create(connection, budget(), by="ann", now=NOW)
