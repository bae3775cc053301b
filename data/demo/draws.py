"""Who called which model when, and how it ended: the parts of a row that chance decides first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.demo.identifiers import uuid4_of
from data.demo.storyline import Story
from data.demo_team import GPT, GPT_MINI, HAIKU, MEMBERS, OPUS_AFTER, OPUS_BEFORE, SONNET, UNLISTED
from data.model import Outcome, Protocol

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SESSION_S = 12_600  # a sitting at Claude Code, before the next session starts
_SWITCH_DAYS = 6.0
_BURST_SHARE = 0.55
_RETRIED = 0.5
_COUNTING = 0.02  # of Claude Code's calls
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """One model of the demo: medians of time to first token (ms) and tokens a second."""

    name: str
    ttft_ms: float
    tokens_per_s: float
    reasons: bool = False


MODELS: tuple[ModelTraits, ...] = (
    ModelTraits(OPUS_BEFORE, 1500, 52),
    ModelTraits(OPUS_AFTER, 1250, 60),
    ModelTraits(SONNET, 820, 84),
    ModelTraits(HAIKU, 430, 150),
    ModelTraits(GPT, 1700, 68, reasons=True),
    ModelTraits(GPT_MINI, 720, 125, reasons=True),
    ModelTraits(UNLISTED, 900, 45),
)
_INDEX = {model.name: index for index, model in enumerate(MODELS)}


@dataclass(frozen=True, slots=True)
class Ending:
    """One way to end: `share` of the calls, status and error as (Anthropic's, OpenAI's)."""

    outcome: Outcome
    share: float
    statuses: tuple[int, int] = (200, 200)
    classes: tuple[str, str] = ("", "")
    message: str = ""
    streamed_only: bool = False


ENDINGS: tuple[Ending, ...] = (
    Ending(Outcome.OK, 0.0),
    Ending(Outcome.ERROR, 0.004, (529, 503), ("overloaded_error", "server_error"), "Overloaded"),
    Ending(Outcome.ERROR, 0.008, (429, 429), ("rate_limit_error", "requests"), "Rate limit reached"),
    Ending(Outcome.ERROR, 0.0025, (500, 500), ("api_error", "server_error"), "Internal server error"),
    Ending(Outcome.ERROR, 0.003, (400, 400), ("invalid_request_error",) * 2, "prompt is too long"),
    Ending(Outcome.TIMEOUT, 0.0008, (504, 504), ("timeout", "timeout"), "no byte from the provider in 120 s"),
    Ending(Outcome.DISCONNECTED, 0.008, streamed_only=True),
    Ending(Outcome.PARTIAL, 0.002, streamed_only=True, message="the provider's stream broke off"),
)
ANSWERED, OVERLOADED = 0, 1
_STREAMED_ONLY: Flags = np.array([each.streamed_only for each in ENDINGS])


@dataclass(frozen=True, slots=True)
class Draws:
    """The calls of one day in the order of `ended_us` (microseconds since the epoch), as arrays of one length."""

    ended_us: Ints
    member: Ints  # index into MEMBERS
    session: list[str]
    project: list[str]
    position: Ints  # the how-manieth call of its session, from 0
    model: Ints  # index into MODELS
    ending: Ints  # index into ENDINGS
    counting: Flags  # only count tokens
    stream: Flags
    second_attempt: Flags  # repeats the row before it, which had failed

    def __len__(self) -> int:
        """How many calls."""
        return len(self.ended_us)


def draw(story: Story, hours_us: Ints, counts: Ints, seed: int, random: np.random.Generator) -> Draws:
    """The calls of the hours that begin at `hours_us`; `counts` is (hours, members)."""
    hour, member = (np.repeat(each, counts.ravel()) for each in _grid(counts))
    ended = _times(story, hours_us[hour], random)
    order = np.argsort(ended, kind="stable")
    ended, member = ended[order], member[order]
    model = _models(story, ended, member, random)
    stream = random.random(len(ended)) < np.array([each.traits.stream_share for each in MEMBERS])[member]
    ending = _endings(story, ended, member, random)
    again = _retries(ending, random)
    counting = _coding()[member] & (random.random(len(ended)) < _COUNTING)
    # a second attempt is the same call: same member, same model, same kind
    for drawn in (member, model, counting, stream):
        drawn[again] = drawn[np.flatnonzero(again) - 1]
    stream &= ~counting
    ending[~stream & _STREAMED_ONLY[ending]] = ANSWERED
    session, project, position = _sessions(ended, member, seed)
    return Draws(ended, member, session, project, position, model, ending, counting, stream, again)


def is_openai() -> Flags:
    """For each of MEMBERS whether it speaks OpenAI's protocol."""
    return np.array([each.traits.protocol is Protocol.OPENAI for each in MEMBERS])


def _coding() -> Flags:
    return np.array([each.traits.has_sessions for each in MEMBERS])


def _grid(counts: Ints) -> tuple[Ints, Ints]:
    hours, members = np.indices(counts.shape)
    return hours.ravel(), members.ravel()


def _times(story: Story, begin: Ints, random: np.random.Generator) -> Ints:
    """Somewhere in each hour, but inside the history."""
    first, last = _microseconds(story.start.timestamp()), _microseconds(story.end.timestamp())
    low, high = np.maximum(begin, first), np.minimum(begin + 3_600 * _SECOND, last)
    inside: Ints = (random.random(len(begin)) * np.maximum(high - low - 1, 0)).astype(np.int64)
    return low + inside


def _microseconds(seconds: float) -> int:
    return round(seconds * _SECOND)


def _models(story: Story, ended: Ints, member: Ints, random: np.random.Generator) -> Ints:
    shares = np.array([[each.models.get(model.name, 0.0) for model in MODELS] for each in MEMBERS])
    edges = np.cumsum(shares, axis=1)
    model = (random.random(len(ended))[:, None] >= edges[member]).sum(axis=1).clip(0, len(MODELS) - 1)
    days_after = (ended / _SECOND - story.switch.timestamp()) / 86_400
    moved = random.random(len(ended)) < 1 / (1 + np.exp(np.clip(-days_after / _SWITCH_DAYS, -50, 50)))
    return np.where((model == _INDEX[OPUS_BEFORE]) & moved, _INDEX[OPUS_AFTER], model).astype(np.int64)


def _endings(story: Story, ended: Ints, member: Ints, random: np.random.Generator) -> Ints:
    shares = np.cumsum([ending.share for ending in ENDINGS[1:]])
    ending = 1 + np.searchsorted(shares, random.random(len(ended)), side="right")
    ending[ending == len(ENDINGS)] = 0
    since_burst = ended - _microseconds(story.burst.timestamp())
    in_burst = (since_burst >= 0) & (since_burst < 3_600 * _SECOND) & ~is_openai()[member]
    ending[in_burst & (random.random(len(ended)) < _BURST_SHARE)] = OVERLOADED
    return ending.astype(np.int64)


def _retries(ending: Ints, random: np.random.Generator) -> Flags:
    """Rows that repeat an overloaded call just before them."""
    again = np.zeros(len(ending), dtype=np.bool_)
    again[1:] = (ending[:-1] == OVERLOADED) & (ending[1:] != OVERLOADED) & (random.random(len(ending) - 1) < _RETRIED)
    return again


def _sessions(ended: Ints, member: Ints, seed: int) -> tuple[list[str], list[str], Ints]:
    """Each row's session id, project and position. Members without sessions call for their first project."""
    sits = _coding()[member]
    window = np.where(sits, (ended // _SECOND + member * 997) // _SESSION_S, 0)
    both = np.stack([member, window], axis=1)
    unique, inverse = np.unique(both, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    names = [_session(int(who), int(when), seed) for who, when in unique]
    position = np.where(sits, _positions(inverse), 0)
    return [names[i][0] for i in inverse], [names[i][1] for i in inverse], position


def _session(member: int, window: int, seed: int) -> tuple[str, str]:
    who = MEMBERS[member]
    if not who.traits.has_sessions:
        return "", who.projects[0]
    identifier = uuid4_of(f"{seed}/{who.key}/{window}")
    return identifier, who.projects[int(identifier[:4], 16) % len(who.projects)]


def _positions(group: Ints | NDArray[np.intp]) -> Ints:
    """How many earlier rows are of the same group."""
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    position = np.empty(len(group), dtype=np.int64)
    position[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return position


def taken(names: Sequence[str], index: Ints) -> list[str]:
    """`names` by index."""
    return [names[i] for i in index]
