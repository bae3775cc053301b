"""How many tokens a broken answer was, as well as its text can tell. Pure."""

import msgspec
from msgspec.structs import replace

from proxy.usage.usage import Usage

#: UTF-8 bytes a token: about right for English and code, and near enough for other scripts,
#: whose characters are more bytes and more tokens alike.
BYTES_PER_TOKEN = 4


def estimate_tokens(size: int) -> int:
    """Tokens of `size` UTF-8 bytes of text, rounded up."""
    return -(-max(size, 0) // BYTES_PER_TOKEN)


def with_estimated_input(usage: Usage, estimated_input: int) -> Usage:
    """`usage`, its input taken from the request where the answer broke off before it told."""
    if usage.complete or usage.tokens.input or not estimated_input:
        return usage
    tokens = replace(usage.tokens, uncached_input=estimated_input)
    return msgspec.structs.replace(usage, tokens=tokens, note=f"{usage.note}; input estimated from the request")


class OutputSeen:
    """Counts the text that went by."""

    __slots__ = ("characters", "size")

    def __init__(self) -> None:
        self.characters = 0
        self.size = 0  # UTF-8 bytes

    def add(self, text: str) -> None:
        """Count one piece of output."""
        self.characters += len(text)
        self.size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))

    def add_joined(self, text: str, pieces: int) -> None:
        """Count several pieces of output, between which `text` has one space that is none of it."""
        self.add(text)
        self.characters -= pieces - 1
        self.size -= pieces - 1

    def tokens(self, at_least: int = 0) -> int:
        """The estimate, or the provider's last running count where that is more."""
        return max(estimate_tokens(self.size), at_least)
