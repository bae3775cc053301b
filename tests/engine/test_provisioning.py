import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import channel_store, rules
from engine.desk import Desk
from engine.errors import Refused
from engine.provisioner import Provisioner
from engine.provisioning import Applied, apply, look
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.receivers import until
from tests.engine.traffic import COSTLY, NOON, SECOND, again, rows, spend, watch

ONE = 'name: One\nwhen: {metric: cost, window: 5m, op: ">", value: 1}\nnotify: in-app\n'
TWO = ONE.replace("One", "Two")


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    found = tmp_path / "rules"
    found.mkdir()
    return found


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def applied(store, folder: Path) -> Applied:
    return apply(store, look(folder), NOON)


def standing(store) -> list[tuple[str, int, str]]:
    return [(rule.name, rule.version, rule.provisioned_from) for rule in rules.every(store)]


def test_the_files_rules_are_stored_and_stay_as_they_are(store, folder):
    put(folder, a=ONE + "---\n" + TWO)
    assert applied(store, folder) == Applied(2, 1, ())
    assert applied(store, folder) == Applied(0, 1, ())
    assert standing(store) == [("One", 1, "a.yaml"), ("Two", 1, "a.yaml")]
    assert rows(store, "audit_log", "actor", "action") == [("provisioning", "create")] * 2


def test_a_changed_file_changes_its_rules_and_ends_what_they_fired(store, folder):
    put(folder, a=ONE)
    applied(store, folder)
    spend(store, NOON - SECOND, "2")
    (rule,) = rules.every(store)
    tick(store, [again(store, rule.id)], NOON)
    put(folder, a=ONE.replace("value: 1", "value: 5"))
    apply(store, look(folder), NOON + SECOND)
    assert standing(store) == [("One", 2, "a.yaml")]
    assert rows(store, "alerts", "status") == [("resolved",)]


def test_a_file_takes_over_the_rule_of_its_name(store, folder):
    rule = watch(store, name="One")
    put(folder, a=ONE)
    applied(store, folder)
    assert standing(store) == [("One", 2, "a.yaml")]
    assert rules.every(store)[0].id == rule.id


@pytest.mark.parametrize(
    "act",
    [
        lambda store, rule_id: rules.save(store, COSTLY, rule_id=rule_id, by="ada"),
        lambda store, rule_id: rules.toggle(store, rule_id, by="ada"),
        lambda store, rule_id: rules.delete(store, rule_id, by="ada"),
    ],
    ids=["save", "toggle", "delete"],
)
def test_nobody_else_changes_a_rule_that_a_file_provides(store, folder, act):
    put(folder, a=ONE)
    applied(store, folder)
    (rule,) = rules.every(store)
    with pytest.raises(Refused, match=r"provided by the file a\.yaml"):
        act(store, rule.id)
    assert standing(store) == [("One", 1, "a.yaml")]


def test_a_rule_whose_file_is_gone_is_deleted_and_its_incident_ends(store, folder):
    watch(store, name="By hand")
    put(folder, a=ONE, b=TWO)
    applied(store, folder)
    spend(store, NOON - SECOND, "2")
    mine = next(rule for rule in rules.every(store) if rule.name == "One")
    tick(store, [again(store, mine.id)], NOON)
    (folder / "a.yaml").unlink()
    assert apply(store, look(folder), NOON + SECOND) == Applied(1, 1, ())
    assert standing(store) == [("By hand", 1, ""), ("Two", 1, "b.yaml")]
    assert rows(store, "alerts", "status") == [("resolved",)]


def test_a_rule_may_move_to_another_file(store, folder):
    put(folder, a=ONE, b=TWO)
    applied(store, folder)
    before = {rule.name: rule.id for rule in rules.every(store)}
    put(folder, a="# empty\n", b=TWO + "---\n" + ONE)
    applied(store, folder)
    assert standing(store) == [("One", 2, "b.yaml"), ("Two", 1, "b.yaml")]
    assert {rule.name: rule.id for rule in rules.every(store)} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is not valid YAML"),
        (ONE.replace("cost", "cots"), "unknown metric"),
        (ONE.replace("in-app", "pager"), "there is no channel 'pager'"),
        (TWO, "is the name of the rule in b.yaml"),
    ],
)
def test_a_broken_file_changes_and_removes_nothing_and_says_why(store, folder, text, message):
    put(folder, c=ONE, b=TWO, d=ONE.replace("One", "Three"))
    applied(store, folder)
    put(folder, c=text)
    (folder / "d.yaml").unlink()

    done = applied(store, folder)

    assert standing(store) == [("One", 1, "c.yaml"), ("Three", 1, "d.yaml"), ("Two", 1, "b.yaml")]
    (fault,) = done.faults
    assert fault.file == "c.yaml"
    assert message in str(fault)
    assert str(fault).startswith("c.yaml:")


def test_good_files_are_applied_beside_a_broken_one(store, folder):
    put(folder, a="name: [", b=TWO)
    assert [fault.file for fault in applied(store, folder).faults] == ["a.yaml"]
    assert standing(store) == [("Two", 1, "b.yaml")]


def test_a_folder_that_is_gone_takes_no_rule_with_it(store, folder):
    assert applied(store, folder / "nowhere") == Applied(0, 0, ())
    put(folder, a=ONE)
    applied(store, folder)
    done = applied(store, folder / "nowhere")
    assert "is gone" in done.faults[0].message
    assert standing(store) == [("One", 1, "a.yaml")]


def test_a_rule_is_switched_off_in_its_file_and_on_again(store, folder):
    put(folder, a=ONE + "enabled: false\n")
    applied(store, folder)
    assert [rule.enabled for rule in rules.every(store)] == [False]
    put(folder, a=ONE)
    applied(store, folder)
    assert [rule.enabled for rule in rules.every(store)] == [True]


async def test_the_worker_follows_the_folder_and_tells_its_faults(store, config):
    folder = config.home / "rules"
    folder.mkdir()
    put(folder, a=ONE)
    desk = Desk(config, SecretBox(config.home), connected=store)
    watching = Provisioner(desk)
    running = asyncio.ensure_future(watching.run())  # noqa: TID251 - a test's own task
    await asyncio.sleep(0)
    assert standing(store) == []  # another worker leads
    desk.status.leading = True
    await until(lambda: standing(store) == [("One", 1, "a.yaml")])
    await until(desk.rules_changed.is_set)
    put(folder, a="name: [")
    await until(lambda: desk.provisioning.faults)
    put(folder, a=TWO)
    await until(lambda: standing(store) == [("Two", 1, "a.yaml")] and not desk.provisioning.faults)
    watching.stop()
    await running


async def test_a_fault_that_passes_by_itself_is_looked_at_again(store, config, monkeypatch):
    monkeypatch.setattr("engine.provisioner.LOOK_S", 0.02)
    (config.home / "rules").mkdir()
    put(config.home / "rules", a=ONE.replace("in-app", "hook"))
    desk = Desk(config, SecretBox(config.home), connected=store)
    desk.status.leading = True
    watching = Provisioner(desk)
    running = asyncio.ensure_future(watching.run())  # noqa: TID251 - a test's own task
    await until(lambda: desk.provisioning.faults)
    hook = {"name": "hook", "kind": "webhook", "config": {"url": "https://hook.example"}}
    channel_store.create(store, desk.box, hook, by="ada")
    await until(lambda: standing(store) == [("One", 1, "a.yaml")])
    watching.stop()
    await running


def test_the_folder_is_the_homes_or_the_configured_one(config, tmp_path):
    assert config.rules_folder == config.home / "rules"
    elsewhere = dataclasses.replace(config.worker, rules_dir=str(tmp_path))
    assert dataclasses.replace(config, worker=elsewhere).rules_folder == tmp_path
