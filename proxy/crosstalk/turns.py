"""What a participant is asked when its turn has come, and when a conversation is over. Pure."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from proxy.crosstalk.document import CrosstalkDocument, Paradigm, Participant

MAX_TURNS: Final = "max_turns"
STOP_PHRASE: Final = "stop_phrase"
MAX_COST: Final = "max_cost"


class _Way(NamedTuple):
    """A paradigm: which of the texts so far the next one is shown, and what its system prompt begins with."""

    shown: Callable[[int], int]  # how many of the last texts, of so many
    told: Callable[[int], str]  # by the participant's place


def _side(place: int) -> str:
    against = place % 2
    return (
        f"You take part in a debate about the user's first message. You argue {'against' if against else 'for'} it. "
        "Answer the others' arguments, and stay on your side."
    )


_WAYS: Final[Mapping[Paradigm, _Way]] = {
    Paradigm.RELAY: _Way(lambda said: said, lambda _: ""),
    Paradigm.DEBATE: _Way(lambda said: said, _side),
    Paradigm.CHAIN: _Way(lambda said: min(said, 1), lambda _: ""),
}


def speaker(document: CrosstalkDocument, turn: int) -> Participant:
    """Return who has turn number `turn`; the first one is 1."""
    return document.participants[(turn - 1) % len(document.participants)]


def request_body(document: CrosstalkDocument, texts: Sequence[str]) -> dict[str, Any]:
    """Return the Anthropic Messages request for the turn after `texts`, which are all that was said, in order."""
    turn = len(texts) + 1
    me = speaker(document, turn)
    way = _WAYS[document.paradigm]
    body: dict[str, Any] = {
        "model": me.model,
        "max_tokens": me.max_tokens,
        "messages": _messages(document, texts, way.shown(len(texts)), me),
    }
    place = (turn - 1) % len(document.participants)
    if system := "\n\n".join(filter(None, (way.told(place), me.system))):
        body["system"] = system
    if me.temperature is not None:
        body["temperature"] = me.temperature
    return body


def why_over(document: CrosstalkDocument, texts: Sequence[str], spent: Decimal | None) -> str:
    """Return why no turn follows, '' where one does. `spent`: US dollars so far, None where that is not known."""
    if document.stop_phrase is not None and texts and document.stop_phrase in texts[-1]:
        return STOP_PHRASE
    if len(texts) >= document.max_turns:
        return MAX_TURNS
    if document.max_cost_usd is not None and spent is not None and spent >= document.max_cost_usd:
        return MAX_COST
    return ""


def _messages(document: CrosstalkDocument, texts: Sequence[str], last: int, me: Participant) -> list[dict[str, Any]]:
    """The topic and the last texts by role; roles alternate, so neighbours of one role are one message."""
    found = [("user", document.topic)]
    for turn in range(len(texts) - last + 1, len(texts) + 1):
        who, text = speaker(document, turn), texts[turn - 1]
        role, said = ("assistant", text) if who is me else ("user", f"{who.name}: {text}")
        if found[-1][0] == role:
            found[-1] = role, f"{found[-1][1]}\n\n{said}"
        else:
            found.append((role, said))
    return [{"role": role, "content": content} for role, content in found]
