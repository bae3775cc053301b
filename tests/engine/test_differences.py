import pytest

from engine.differences import Difference, differences


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, [("a", 1, None), ("b", 2, 3), ("c", None, 4)]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}, 4]}, [("a[1].b", 2, 3), ("a[2]", None, 4)]),
        ({"a": {"all": [1]}}, {"a": {"any": [1]}}, [("a.all", [1], None), ("a.any", None, [1])]),
        ({"a": "x"}, {"a": ["x"]}, [("a", "x", ["x"])]),
    ],
)
def test_every_field_that_differs_is_named_with_both_values(old, new, expected):
    assert list(differences(old, new)) == [Difference(*one) for one in expected]
