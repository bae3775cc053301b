"""One answer as a script: which bytes are sent when, and how the connection ends. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Ending(StrEnum):
    """What happens after the last step."""

    COMPLETE = "complete"
    HANG = "hang"  # nothing more is sent, the connection stays open
    HANG_UP = "hang_up"  # the connection is closed in the middle of the answer


class Event(NamedTuple):
    """One event of a stream; `paced` ones take time to generate, the others follow at once."""

    data: bytes
    paced: bool = False


class Step(NamedTuple):
    """Bytes to send after waiting `wait_s` seconds."""

    data: bytes
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer: status, headers, steps and ending. `content_length` None: none is promised."""

    status: int
    headers: Mapping[str, str]
    steps: tuple[Step, ...]
    stream: bool = False
    ending: Ending = Ending.COMPLETE
    content_length: int | None = None
    intact: bool = True  # whether a client that reads all of it has the whole answer, usage included
    fault: str = ""  # the behaviour that changed it, for the log
    sample: bytes = field(default=b"", repr=False)  # a few bytes of the text, as they stand in the steps

    @property
    def plain(self) -> bool:
        """Whether it is one whole body that can be sent in one go."""
        one_body = not self.stream and len(self.steps) == 1
        return one_body and self.ending is Ending.COMPLETE and self.content_length is None


def paced(events: list[Event], *, ttft_s: float, duration_s: float) -> tuple[Step, ...]:
    """Spread events over time: the first after `ttft_s`, the rest evenly until `duration_s` after the start."""
    steps = [Step(event.data) for event in events]
    beats = [index for index, event in enumerate(events) if event.paced and index]
    gap = max(0.0, duration_s - ttft_s) / max(1, len(beats))
    if gap:
        # the last beat's time passes before what follows it: generating takes time, finishing does not
        for index in [*beats[1:], (beats[-1] + 1) if beats else len(steps) - 1]:
            steps[index] = Step(steps[index].data, gap)
    steps[0] = Step(steps[0].data, ttft_s)
    return tuple(steps)
