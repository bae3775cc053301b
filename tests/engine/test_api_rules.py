"""Versions, transfer, files and templates of rules through the API."""

from engine import provisioning, rule_files
from engine.rule import parse
from tests.engine.test_api import api, ask
from tests.engine.traffic import COSTLY, NOON

__all__ = ["api"]


async def made(api, **changes):
    return await ask(api, "POST", "/api/alerts/rules", 201, json={**COSTLY, **changes})


async def test_versions_are_compared_and_one_is_gone_back_to(api):
    rule = await made(api)
    path = f"/api/alerts/rules/{rule['id']}"
    await ask(api, "PUT", path, json={**COSTLY, "severity": "low", "version": 1})

    listed = (await ask(api, "GET", f"{path}/versions"))["items"]
    assert [(v["version"], [c["path"] for c in v["changes"]]) for v in listed] == [(2, ["severity"]), (1, [])]
    told = await ask(api, "GET", f"{path}/versions/2/diff")
    assert told["items"] == [{"path": "severity", "old": "high", "new": "low"}]
    assert (await ask(api, "GET", f"{path}/versions/1/diff?from=2"))["items"][0]["new"] == "high"
    await ask(api, "GET", f"{path}/versions/x/diff", 400)
    await ask(api, "GET", f"{path}/versions/7/diff", 404)

    stale = await ask(api, "POST", f"{path}/rollback", 409, json={"to": 1, "version": 1})
    assert stale["current_version"] == 2
    assert "at version 2, not 1" in stale["detail"]
    back = await ask(api, "POST", f"{path}/rollback", json={"to": 1}, headers={"If-Match": '"2"'})
    assert (back["version"], back["severity"]) == (3, "high")


async def test_an_edit_of_a_passed_version_is_a_conflict_that_names_the_present_one(api):
    rule = await made(api)
    path = f"/api/alerts/rules/{rule['id']}"
    await ask(api, "PUT", path, json={**COSTLY, "version": 1})
    stale = await ask(api, "PUT", path, 409, json={**COSTLY, "version": 1})
    assert stale["current_version"] == 2


async def test_rules_leave_as_yaml_and_come_back(api):
    rule = await made(api)
    async with api.get("/api/alerts/rules/export") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        text = await answer.text()
    changed = text.replace("value: 1", "value: 3")
    path = "/api/alerts/rules/import"
    trial = await ask(api, "POST", path, json={"text": changed, "dry_run": True})
    assert [(one["name"], one["fate"]) for one in trial["items"]] == [("High cost", "updated")]
    assert (await ask(api, "GET", f"/api/alerts/rules/{rule['id']}"))["version"] == 1
    await ask(api, "POST", path, json={"text": changed, "by": "ada"})
    stored = await ask(api, "GET", f"/api/alerts/rules/{rule['id']}")
    assert (stored["version"], stored["document"]["when"]["value"]) == (2, 3)
    bad = await ask(api, "POST", path, 422, json={"text": "name: x\n"})
    assert bad["errors"] == [{"path": "text:1 when", "message": "is required"}]


async def test_a_rule_of_a_file_is_shown_as_such_and_refuses_changes(api, store, tmp_path):
    (tmp_path / "cost.yaml").write_text(rule_files.written(parse(COSTLY)))
    provisioning.apply(store, provisioning.look(tmp_path), NOON)
    (rule,) = (await ask(api, "GET", "/api/alerts/rules"))["items"]
    assert rule["provisioned_from"] == "cost.yaml"
    path = f"/api/alerts/rules/{rule['id']}"
    for method, where, body in (("PUT", path, COSTLY), ("DELETE", path, {}), ("POST", f"{path}/toggle", {})):
        refused = await ask(api, method, where, 409, json=body)
        assert "provided by the file cost.yaml" in refused["detail"]
    await ask(api, "POST", f"{path}/rollback", 409, json={"to": 1})


async def test_a_broken_file_is_told_in_the_list_and_in_the_health(api, store, tmp_path):
    (tmp_path / "cost.yaml").write_text(rule_files.written(parse(COSTLY)))
    provisioning.apply(store, provisioning.look(tmp_path), NOON)
    (tmp_path / "cost.yaml").write_text("name: High cost\n")
    api.desk.provisioning.faults = provisioning.look(tmp_path).faults
    listed = await ask(api, "GET", "/api/alerts/rules")
    assert listed["faults"] == [{"file": "cost.yaml", "path": "cost.yaml:1 when", "message": "is required"}]
    assert listed["items"][0]["file_fault"] == "cost.yaml:1 when: is required"
    health = (await ask(api, "GET", "/health"))["checks"]["rule_files"]
    assert (health["ok"], health["faults"][0]["file"]) == (False, "cost.yaml")


async def test_whoever_acts_has_a_name_that_can_be_read(api):
    refused = await ask(api, "POST", "/api/alerts/rules", 422, json={**COSTLY, "by": "a\u0000b"})
    why = r"must not hold characters that cannot be seen, as '\x00'"
    assert refused["errors"] == [{"path": "by", "message": why}]
    made = await ask(api, "POST", "/api/alerts/rules", 201, json={**COSTLY, "by": "  "})
    path = f"/api/alerts/rules/{made['id']}/versions"
    assert [version["changed_by"] for version in (await ask(api, "GET", path))["items"]] == ["api"]


async def test_a_name_that_is_taken_is_a_fault_of_the_name(api):
    await ask(api, "POST", "/api/alerts/rules", 201, json=COSTLY)
    refused = await ask(api, "POST", "/api/alerts/rules", 422, json=COSTLY)
    assert refused["errors"] == [{"path": "name", "message": "is taken: there is a rule 'High cost'"}]


async def test_a_rule_is_added_from_a_template(api):
    listed = (await ask(api, "GET", "/api/alerts/templates"))["items"]
    assert len(listed) >= 20
    shown = await ask(api, "GET", "/api/alerts/templates/daily-spend")
    assert shown in listed
    assert [(p["name"], p["required"]) for p in shown["parameters"]][:2] == [("amount", True), ("tz", False)]
    bad = await ask(api, "POST", "/api/alerts/templates/daily-spend", 422, json={})
    assert [error["path"] for error in bad["errors"]] == ["amount"]
    made = await ask(api, "POST", "/api/alerts/templates/daily-spend", 201, json={"set": {"amount": 5}, "by": "ada"})
    assert (made["name"], made["enabled"]) == ("Spent more than $5 today", True)
    await ask(api, "GET", "/api/alerts/templates/nope", 404)
