"""Keeping a message within a provider's limits: what does not fit is cut, and visibly so. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

MARK = "… [cut]"
#: How short the texts of a message may become before it is given up, tried in this order.
_LIMITS = (20_000, 2_000, 500, 100, 20)


def cut(text: str, limit: int, encode: Callable[[str], str] = str) -> str:
    """`text`, encoded, in at most `limit` characters; what is left out is marked. Never cuts inside an encoding."""
    whole = encode(text)
    if len(whole) <= limit:
        return whole
    kept = text[: max(0, limit - len(MARK))]
    while kept and len(encode(kept)) + len(MARK) > limit:
        kept = kept[: len(kept) - max(1, (len(encode(kept)) + len(MARK) - limit) // 8)]
    return (encode(kept) + MARK)[:limit]


def fitting(make: Callable[[int], Any], most: int) -> bytes:
    """JSON of fewer than `most` bytes: `make(limit)` with ever shorter texts; raises ValueError where nothing helps."""
    body = b""
    for limit in _LIMITS:
        body = orjson.dumps(make(limit))
        if len(body) < most:
            return body
    raise ValueError(f"the message had {len(body)} bytes")


def shortened(value: Any, limit: int) -> Any:
    """A tree with every text, names too, of at most `limit` characters before its mark."""
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit] + MARK
    if isinstance(value, Mapping):
        return {name[:limit]: shortened(item, limit) for name, item in value.items()}
    return [shortened(item, limit) for item in value] if isinstance(value, list) else value
