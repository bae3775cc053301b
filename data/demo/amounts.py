"""How many tokens each call of the demo took and how long it lasted."""

from dataclasses import dataclass

import numpy as np

from data.demo.draws import ENDINGS, MODELS, Draws, Flags, Floats, Ints, is_openai
from data.demo.storyline import Story
from data.demo_team import CULPRIT, HAIKU, MEMBERS, OPUS_AFTER
from data.model import Outcome

_CONTEXT_LIMIT = 170_000
_SYSTEM_TOKENS = 17_500  # Claude Code's tools and instructions
_TURN_TOKENS = 1_350
_EXPIRED = 0.05  # calls whose cache had expired
_CACHE_STEP = 128
_TIMEOUT_MS = 120_000.0
_SLOWER = 0.5


@dataclass(frozen=True, slots=True)
class Amounts:
    """Disjoint token counts and times of each call; `ttft_ms` is nan where there was no first token of a stream."""

    uncached: Ints
    cache_read: Ints
    cache_write_5m: Ints
    cache_write_1h: Ints
    output: Ints
    reasoning: Ints
    ttft_ms: Floats
    duration_ms: Floats


def amounts(story: Story, draws: Draws, random: np.random.Generator) -> Amounts:
    """What the calls of `draws` took; failed ones took nothing, broken ones a part."""
    member = draws.member
    coding = np.array([each.traits.has_sessions for each in MEMBERS])[member]
    main = coding & (draws.model != _index(HAIKU))
    served = np.array([ending.statuses[0] == 200 for ending in ENDINGS])[draws.ending] & ~draws.counting
    uncached, read, written = _input(draws, main, random)
    output = _output(draws, coding & ~main, random)
    writes_1h = np.array([each.writes_1h for each in MEMBERS])[member]
    reasoning = np.where(np.array([model.reasons for model in MODELS])[draws.model], output * 2 // 5, 0)
    slower = _creep(story, draws)
    first = _first_token(draws, slower, uncached + written, random)
    whole = first + _writing(draws, slower, output, random)
    return Amounts(
        uncached=uncached * served,
        cache_read=read * served,
        cache_write_5m=written * served * ~writes_1h,
        cache_write_1h=written * served * writes_1h,
        output=output * served,
        reasoning=reasoning * served,
        ttft_ms=np.where(served & draws.stream, first, np.nan).round(3),
        duration_ms=_durations(draws, served, whole, random).round(3),
    )


def _index(name: str) -> int:
    return next(index for index, model in enumerate(MODELS) if model.name == name)


def _whole(values: Floats) -> Ints:
    return np.maximum(values, 1).astype(np.int64)


def _input(draws: Draws, main: Flags, random: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Uncached, read and written tokens: a coding session reads its growing context and writes the last turn."""
    number = len(draws)
    median = np.array([each.traits.prompt_tokens for each in MEMBERS])[draws.member]
    prompt = _whole(median * random.lognormal(0, 0.8, number)).clip(1, 120_000)
    prompt = np.where(
        draws.member == MEMBERS.index(CULPRIT),
        _whole(random.normal(95_000, 18_000, number)).clip(20_000, 190_000),
        prompt,
    )
    context = np.minimum(_SYSTEM_TOKENS + draws.position * _TURN_TOKENS, _CONTEXT_LIMIT)
    turn = _whole(_TURN_TOKENS * random.lognormal(-0.2, 0.7, number))
    lost = random.random(number) < np.where(draws.position == 0, 0.4, _EXPIRED)
    known = np.where(draws.position == 0, int(_SYSTEM_TOKENS * 0.7), context)
    read = np.where(lost, 0, known)
    written = np.where(lost, context, 0) + turn
    implicit = is_openai()[draws.member] & (prompt >= 1024) & (random.random(number) < 0.45)
    cached = np.where(implicit, prompt * 6 // 10 // _CACHE_STEP * _CACHE_STEP, 0)
    uncached = np.where(main, random.integers(3, 14, number), prompt - cached)
    return uncached, np.where(main, read, cached), np.where(main, written, 0)


def _output(draws: Draws, background: Flags, random: np.random.Generator) -> Ints:
    median = np.array([each.traits.answer_tokens for each in MEMBERS], dtype=np.float64)[draws.member]
    median = np.where(background, 45, median)
    median = np.where(draws.member == MEMBERS.index(CULPRIT), 1_400, median)
    output = _whole(median * random.lognormal(0, 0.85, len(draws))).clip(1, 16_000)
    broken = np.array([ending.streamed_only for ending in ENDINGS])[draws.ending]
    return np.where(broken, _whole(output * random.random(len(draws))), output)


def _first_token(draws: Draws, slower: Floats, fresh: Ints, random: np.random.Generator) -> Floats:
    """Milliseconds until the model speaks; reading 45,000 new tokens takes it a second."""
    usual = np.array([model.ttft_ms for model in MODELS])[draws.model]
    first: Floats = usual * random.lognormal(0, 0.38, len(draws)) * slower + fresh / 45
    return first


def _writing(draws: Draws, slower: Floats, output: Ints, random: np.random.Generator) -> Floats:
    speed = np.array([model.tokens_per_s for model in MODELS])[draws.model] * random.lognormal(0, 0.16, len(draws))
    spoken: Floats = output / speed * 1000 * np.sqrt(slower)
    return spoken


def _durations(draws: Draws, served: Flags, whole: Floats, random: np.random.Generator) -> Floats:
    timed_out = np.array([ending.outcome is Outcome.TIMEOUT for ending in ENDINGS])[draws.ending]
    refused = random.lognormal(5.6, 0.5, len(draws))  # around 270 ms
    return np.where(served, whole, np.where(timed_out, _TIMEOUT_MS + refused, refused))


def _creep(story: Story, draws: Draws) -> Floats:
    """A factor on the new flagship's times that grows to the end of the history."""
    begin, end = story.slower_from.timestamp() * 1e6, story.end.timestamp() * 1e6
    progress = np.clip((draws.ended_us - begin) / max(end - begin, 1.0), 0, 1)
    factor: Floats = 1 + _SLOWER * progress * (draws.model == _index(OPUS_AFTER))
    return factor
