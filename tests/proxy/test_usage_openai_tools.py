import json

import msgspec
import pytest

from proxy.usage.openai_tools import Tools, searched, tools_of

SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "sky"}}
OPENED = SEARCH | {"action": {"type": "open_page"}}
OLD = {"type": "web_search_call", "status": "completed"}
SAID = {"type": "message", "content": [{"type": "output_text", "text": '"type":"web_search_call"'}]}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("output", "tools"),
    [
        ([], Tools()),
        ([SAID], Tools()),
        ([{"type": "function_call", "name": "web_search_call"}], Tools()),
        ([SEARCH, OPENED, OLD, SAID], Tools(2)),
        ([{"type": "file_search_call"}] * 2, Tools(0, "2 file searches not priced")),
        ([SEARCH, {"type": "image_generation_call", "result": "AAAA"}], Tools(1, "1 generated images not priced")),
        # a wrong shape is as good as nothing
        ([SEARCH, 7], Tools()),
        ({"type": "web_search_call"}, Tools()),
        ([SEARCH | {"action": 7}], Tools()),
        ([SEARCH | {"action": {"type": ["search"]}}], Tools(1)),
        (None, Tools()),
    ],
    ids=range(11),
)
def test_what_an_output_costs_beside_its_tokens(output, tools):
    assert tools_of(raw(output)) == tools


def test_an_output_that_is_no_json_is_none():
    assert tools_of(msgspec.Raw(b'[{"type":"web_search_call"')) == Tools()
    assert tools_of(msgspec.Raw()) == Tools()


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ({"item": SEARCH}, 1),
        ({"item": OPENED}, 0),
        ({"item": SAID}, 0),
        ({"item": {"type": "file_search_call"}}, 0),
        ({"item": 7, "type": "web_search_call"}, 0),
    ],
)
def test_searches_are_counted_as_they_end(event, number):
    assert searched(json.dumps(event).encode()) == number
