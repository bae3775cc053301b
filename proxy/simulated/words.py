"""Plausible text of any length, deterministic, and what it counts as in tokens."""

from random import Random

#: The usual rule of thumb for English and code.
BYTES_PER_TOKEN = 4

_SENTENCES = (
    "The request path stays short because every decision is made before the first byte leaves.",
    "I read the failing test first: it expects the total to include cached tokens, and the code drops them.",
    "Here is the smallest change that makes it pass without touching the public interface.",
    "Two callers depend on the old order, so the sort has to stay stable.",
    "Run the suite again after this; the third case should now be green.",
    "A bounded queue keeps memory flat when the other side is slow.",
    "The index helps only the first query, the second one still reads the whole table.",
    "We can remove the retry here, since the sender already knows when to try again.",
    "Naïve rounding loses a cent every few thousand rows, so amounts stay decimal — even in the export.",
    "That explains the gap at midnight: one side counts in UTC and the other does not.",
    "Nothing else reads this field, which makes it safe to rename.",
    "I would keep the function as it is and move the clock to its caller.",
)


def _corpus() -> str:
    picks = Random(7).choices(_SENTENCES, k=4_000)  # noqa: S311 - prose, not a secret
    return " ".join(picks)


_CORPUS = _corpus()


def prose(random: Random, tokens: int) -> str:
    """Text that counts as `tokens` tokens, give or take its few non-ASCII letters."""
    length = tokens * BYTES_PER_TOKEN
    start = int(random.random() * (len(_CORPUS) - 1_000))
    start = _CORPUS.find(". ", start) + 2
    text = _CORPUS[start : start + length]
    while len(text) < length:
        text += " " + _CORPUS[: length - len(text) - 1]
    return text


def count(text: str | bytes) -> int:
    """How many tokens `text` counts as; at least 1 unless it is empty."""
    return -(-len(text) // BYTES_PER_TOKEN)


def pieces(text: str, number: int) -> list[str]:
    """`text` in at most `number` parts of about the same length, none of them empty."""
    if not text:
        return []
    size = max(1, -(-len(text) // max(1, number)))
    return [text[at : at + size] for at in range(0, len(text), size)]
