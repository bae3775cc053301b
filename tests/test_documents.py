"""What the documents say to write can be written, and what they lead to is there."""

import re
import textwrap
from pathlib import Path

import pytest

from data.settings import load

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Indented lines with an empty line before them.
BLOCK = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")


CONFIGURATIONS = {
    f"{document.name}-{number}": written
    for document in DOCUMENTS
    for number, block in enumerate(BLOCK.findall(document.read_text(encoding="utf-8")))
    if re.match(r"\[+[a-z]", written := textwrap.dedent(block))
}


@pytest.mark.parametrize("written", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_each_configuration_is_taken(tmp_path, written):
    path = tmp_path / "proxy.toml"
    path.write_text(written, encoding="utf-8")
    load(dict.fromkeys(re.findall(r'"env:(\w+)"', written), "x=y"), config_file=path)


def test_there_are_configurations_to_try():
    assert len(CONFIGURATIONS) >= 4


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_it_leads_to_is_there(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target
