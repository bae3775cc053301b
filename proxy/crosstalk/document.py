"""A conversation as somebody asks for it: who talks, about what, how, and when it is over."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

_STRICT: Final = ConfigDict(extra="forbid", frozen=True)
_NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f]+$"


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("must say something")
    return text


Speech = Annotated[str, Field(min_length=1, max_length=200_000), AfterValidator(_said)]
#: Names go into a header and the ledger's `agent`.
ParticipantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 _.-]{0,62}[A-Za-z0-9])?$")]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_NO_CONTROLS)]
TagName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Money = Annotated[Decimal, Field(gt=0, le=100_000_000, decimal_places=9)]


class Paradigm(StrEnum):
    """How the participants talk."""

    RELAY = "relay"
    DEBATE = "debate"
    CHAIN = "chain"


class Participant(BaseModel):
    """One who talks."""

    model_config = _STRICT

    name: ParticipantName = Field(description="Told to the others, and the ledger's agent of its calls.")
    model: Label = Field(description="Asked for as any client would: aliases, tiers and routes apply.")
    system: Speech | None = Field(default=None, description="Its system prompt.")
    max_tokens: int = Field(default=1024, ge=1, le=1_000_000, description="The most tokens of one of its turns.")
    temperature: float | None = Field(default=None, ge=0, le=1, description="Without it, the model's own.")


def _of_different_names(participants: list[Participant]) -> list[Participant]:
    names = [participant.name for participant in participants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two are called {twice[0]!r}; names must differ")
    return participants


class CrosstalkDocument(BaseModel):
    """A conversation to be held. The participants take turns in their order; the topic comes first."""

    model_config = _STRICT

    topic: Speech = Field(description="The opening message, which all are told.")
    participants: Annotated[
        list[Participant], Field(min_length=2, max_length=8), AfterValidator(_of_different_names)
    ] = Field(description="Who talks, in this order, again and again.")
    paradigm: Paradigm = Field(
        default=Paradigm.RELAY,
        description=(
            "relay: each is sent the topic and all that was said, its own turns as the assistant's and the others' as "
            "the user's, with their names. debate: the same, and system prompts that tell the first participant (and "
            "every second one after it) to argue for the topic, and the others against it. chain: each is sent the "
            "topic and the last turn alone, and remembers nothing before."
        ),
    )
    max_turns: int = Field(default=10, ge=1, le=100, description="The most turns of all participants together.")
    max_cost_usd: Money | None = Field(
        default=None,
        description=(
            "No turn begins once so much is spent, by the ledger's own numbers; the turn that reaches it is completed. "
            "A turn whose cost is not known then ends the conversation as failed."
        ),
    )
    stop_phrase: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_said)] | None = Field(
        default=None, description="The turn that has it in its text, in these very letters, is the last one."
    )
    project: Label | None = Field(default=None, description="The ledger's project of its calls.")
    tags: dict[TagName, Label] = Field(default_factory=dict, max_length=8, description="The ledger's tags.")

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON values."""
        return self.model_dump(mode="json")
