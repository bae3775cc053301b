"""Ids that look like the real ones: UUIDv7 of a time, UUIDv4 of a name."""

from hashlib import blake2b
from uuid import UUID

import numpy as np
from numpy.typing import NDArray


def uuid7s(times_us: NDArray[np.int64], random: np.random.Generator) -> list[str]:
    """A UUIDv7 (RFC 9562) for each time, in microseconds since the epoch."""
    raw = random.integers(0, 256, (len(times_us), 16), dtype=np.uint8)
    raw[:, :6] = (times_us // 1000).astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    raw[:, 6] = raw[:, 6] & 0x0F | 0x70
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    text = raw.tobytes().hex()
    starts = range(0, len(text), 32)
    return [
        f"{text[i : i + 8]}-{text[i + 8 : i + 12]}-{text[i + 12 : i + 16]}-{text[i + 16 : i + 20]}-"
        f"{text[i + 20 : i + 32]}"
        for i in starts
    ]


def uuid4_of(name: str) -> str:
    """Always the same UUIDv4-shaped id for a name."""
    return str(UUID(bytes=blake2b(name.encode(), digest_size=16).digest(), version=4))
