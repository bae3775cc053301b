from pathlib import Path

import pytest

from engine import rule_files
from engine.errors import RuleError
from engine.rule import parse
from engine.rule_files import file_name, files, joined, read, read_file, twice, written
from tests.engine.test_rule import FULL

TWO = """
name: One
when: {metric: cost, window: 5m, op: ">", value: 1}
---
name: Two
enabled: false
when: {metric: cost, window: 5m, op: ">", value: 2}
"""


def faults(text: str) -> dict[str, str]:
    with pytest.raises(RuleError) as caught:
        read(text, "a.yaml")
    return {fault.path: fault.message for fault in caught.value.faults}


def test_a_file_holds_many_rules_each_with_its_place():
    assert [(d.rule.name, d.place, d.enabled) for d in read(TWO, "a.yaml")] == [
        ("One", "a.yaml:2", None),
        ("Two", "a.yaml:5", False),
    ]


def test_empty_documents_are_none():
    assert read("---\n---\n# nothing\n", "a.yaml") == []


def test_what_is_written_is_read_again():
    rules = [parse(FULL), *(draft.rule for draft in read(TWO, "a.yaml"))]

    text = joined([written(rules[0], enabled=False), *map(written, rules[1:])])

    assert [(d.rule, d.enabled) for d in read(text, "b.yaml")] == [
        (rules[0], False),
        (rules[1], None),
        (rules[2], None),
    ]


def test_every_fault_of_every_document_is_told_with_its_line():
    text = TWO.replace("metric: cost", "metric: cots", 1) + "---\njust words\n---\nenabled: 3\nname: x\n"

    found = faults(text)

    assert list(found) == ["a.yaml:2 when.metric", "a.yaml:9", "a.yaml:11 enabled"]
    assert "did you mean cost" in found["a.yaml:2 when.metric"]


@pytest.mark.parametrize("text", ["a: [", "a: 1\n---\nb: }", "name: 2026-02-30", "x: !!python/object:os.system {}"])
def test_broken_yaml_is_a_fault(text: str):
    ((place, message),) = faults(text).items()
    assert place.startswith("a.yaml")
    assert message.startswith("is not valid YAML")


def test_names_are_not_used_twice():
    (fault,) = twice([*read(TWO, "a.yaml"), *read(TWO.replace("One", "Three"), "b.yaml")])

    assert (fault.path, fault.message) == ("b.yaml:5 name", "'Two' is the name of the rule in a.yaml:5 too")


def test_a_folder_gives_its_yaml_files_and_nothing_hidden(tmp_path: Path):
    for name in ("b.yml", "a.yaml", ".hidden.yaml", "notes.txt", "a.yaml~"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.yaml").mkdir()
    assert [path.name for path in files(tmp_path)] == ["a.yaml", "b.yml"]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, monkeypatch):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.yaml", "binary.yaml"):
        with pytest.raises(RuleError, match="cannot be read"):
            read_file(tmp_path / name, name)
    (tmp_path / "large.yaml").write_text("#" * 100)
    monkeypatch.setattr(rule_files, "LARGEST_BYTES", 10)
    with pytest.raises(RuleError, match="larger than 10 bytes"):
        read_file(tmp_path / "large.yaml", "large.yaml")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("High cost on OpenAI", "high-cost-on-openai.yaml"),
        ("Größe / *", "groe.yaml"),
        ("../../etc/passwd", "etc-passwd.yaml"),
        ("日本", "rule.yaml"),
    ],
)
def test_a_file_is_named_after_its_rule(name: str, expected: str):
    assert file_name(name) == expected
