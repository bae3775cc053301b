"""Imports point one way: pages → app → engine → data, proxy → data."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "data": {"data"},
    "proxy": {"proxy", "data"},
    "engine": {"engine", "data"},
    "app": {"app", "engine", "data"},
    "pages": {"pages", "app", "engine", "data"},
}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "types", "misc"}


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_stands_below_it(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package} has no module"
    against = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imports_of(path)
        if (top := name.split(".")[0]) in ALLOWED and top not in ALLOWED[package]
    ]
    assert against == []


def test_no_module_has_a_name_that_says_nothing():
    assert [p for package in ALLOWED for p in (ROOT / package).rglob("*.py") if p.stem in NAMES_THAT_SAY_NOTHING] == []


def test_no_module_of_the_app_hides_a_package():
    names = {path.stem for path in (ROOT / "app").iterdir()}
    assert names.isdisjoint(ALLOWED.keys() - {"pages"})
    assert "pages" not in names
