"""Asking for another model changes the model's name and no other byte."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UnreadableBody
from proxy.renaming import renamed_body, renamed_path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("model"), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("body", "renamed"),
    [
        (b'{"model":"a","x":1}', b'{"model":"new","x":1}'),
        (b'{ "x" : 1.50, "model" :\n"a" }', b'{ "x" : 1.50, "model" :\n"new" }'),
        (b'{"tool":{"model":"a"},"model":"a"}', b'{"tool":{"model":"a"},"model":"new"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"a","model":"new"}'),
        (rb'{"tool":{"model":"a"},"model":"\u0061"}', b'{"tool":{"model":"a"},"model":"new"}'),
        (rb'{"tool":{"model":"a"},"mod\u0065l":"a"}', rb'{"tool":{"model":"a"},"mod\u0065l":"new"}'),
        (rb'{"text":"\"model\":\"a\"","model":"a"}', rb'{"text":"\"model\":\"a\"","model":"new"}'),
    ],
    ids=["first", "spaces", "nested", "twice", "escaped value", "escaped key", "within a text"],
)
def test_the_last_member_of_the_outer_object_is_exchanged(body: bytes, renamed: bytes):
    assert renamed_body(body, "new") == renamed


@given(st.dictionaries(st.text(), JSON, max_size=5), JSON, st.text())
def test_every_other_value_stays(others: dict[str, object], model: object, name: str):
    body = msgspec.json.encode({**others, "model": model})
    assert msgspec.json.decode(renamed_body(body, name)) == {**others, "model": name}


def test_a_body_without_a_model_cannot_be_asked_for_another():
    with pytest.raises(UnreadableBody):
        renamed_body(b'{"x":{"model":"a"}}', "new")


@pytest.mark.parametrize(
    ("path", "renamed"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent?key=1", "/v1beta/models/flash:generateContent?key=1"),
        (
            "/v1beta/models/tuned%2Fx:streamGenerateContent?alt=sse",
            "/v1beta/models/flash:streamGenerateContent?alt=sse",
        ),
    ],
)
def test_geminis_model_stands_in_the_path(path: str, renamed: str):
    assert renamed_path(path, "flash") == renamed
