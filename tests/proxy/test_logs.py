"""Log lines."""

import json
import logging
import sys

from proxy.logs import JsonLines


def line(**more: object) -> dict[str, str]:
    record = logging.makeLogRecord({"name": "proxy.x", "levelname": "WARNING", "msg": "took %d", "args": (5,), **more})
    text = JsonLines().format(record)
    assert "\n" not in text
    read = json.loads(text)
    assert isinstance(read, dict)
    return read


def test_a_line_is_one_json_object_with_its_extra_fields():
    read = line(record="r1")
    assert (read["level"], read["logger"], read["message"], read["record"]) == ("warning", "proxy.x", "took 5", "r1")


def test_a_line_has_at_most_2000_characters():
    read = line(msg="\x01" * 9000 + "the end", args=(), other="é" * 5000)
    assert len(json.dumps(read, ensure_ascii=False)) <= 2000
    assert read["message"].endswith("the end")


def test_an_error_is_told_in_the_same_line():
    try:
        int("bad\nthing")
    except ValueError:
        assert "ValueError: invalid literal" in line(exc_info=sys.exc_info())["error"]
