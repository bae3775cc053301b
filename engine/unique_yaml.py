"""YAML that people write, read safely, where no mapping may have a key twice: one of the two would be lost unseen."""

from typing import Any

import yaml
from yaml.composer import ComposerError

_MERGE = "tag:yaml.org,2002:merge"


class UniqueLoader(yaml.SafeLoader):
    """PyYAML's safe loader; a key that stands twice in one mapping is a YAMLError with its place."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping, looked at before `<<` brings in others' keys, which its own may replace."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if (key.tag, key.value) in seen:
                raise ComposerError(None, None, f"the key {key.value[:100]!r} stands there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node


def load(text: str) -> Any:
    """The one document in a text, as plain values; raises YAMLError, and ValueError for an impossible date or number."""
    loader = UniqueLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
