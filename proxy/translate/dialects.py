"""What families of OpenAI-style models do not have in common, told by the model's name. Pure."""

import re
from typing import Final

import msgspec


class Dialect(msgspec.Struct, frozen=True):
    """How one family is asked. The defaults are what most providers understand."""

    names: re.Pattern[str]
    length: str = "max_tokens"  # the field that limits the answer
    user: str = "user"  # the field that names the end user; '' where naming one is an error
    asks_for_usage: bool = True  # a stream tells its counts only if asked; else always, and asking is an error
    wants_thinking_back: bool = False  # each answer of the conversation must come back with what was thought


DIALECTS: Final[tuple[Dialect, ...]] = (
    # OpenAI's own models, which have left the older names behind
    Dialect(
        re.compile(r"(?:.*/)?(?:gpt-(?!oss)|o\d|chatgpt|codex)"),
        length="max_completion_tokens",
        user="safety_identifier",
    ),
    # Mistral refuses fields that it does not know
    Dialect(
        re.compile(r"(?:labs-|open-)?(?:mistral|ministral|magistral|codestral|devstral|pixtral|voxtral)"),
        user="",
        asks_for_usage=False,
    ),
    # DeepSeek and Kimi refuse a conversation with calls of tools whose thinking is missing
    Dialect(re.compile(r".*(?:deepseek|kimi)", re.IGNORECASE), wants_thinking_back=True),
    Dialect(re.compile(r"")),
)


def dialect_of(model: str) -> Dialect:
    """Return how the model is asked."""
    return next(dialect for dialect in DIALECTS if dialect.names.match(model))
