"""The parts of the simulated provider that decide: pacing, the prompt cache, text and its tokens."""

from random import Random

import pytest

from proxy.simulated import words
from proxy.simulated.cache import FIVE_MINUTES, ONE_HOUR, CacheCounts, PromptCache, Segment
from proxy.simulated.exchange import Event, Step, paced
from proxy.simulated.steering import parse


def segment(name: str, tokens: int, ttl_s: float | None = None) -> Segment:
    return Segment(name.encode(), tokens, ttl_s)


TOOLS, SYSTEM = segment("tools", 100), segment("system", 50, ONE_HOUR)


@pytest.mark.parametrize(
    ("deltas", "waits"),
    [
        pytest.param(0, [1.0, 3.0], id="nothing to say: the end waits"),
        pytest.param(1, [1.0, 0.0, 3.0], id="one piece: the end waits"),
        pytest.param(3, [1.0, 0.0, 1.0, 1.0, 1.0], id="three pieces share the time"),
    ],
)
def test_events_are_spread_from_the_first_byte_to_the_end(deltas, waits):
    events = [Event(b"start"), *[Event(b"delta", paced=True)] * deltas, Event(b"stop")]
    assert [step.wait_s for step in paced(events, ttft_s=1.0, duration_s=4.0)] == waits


def test_without_delay_no_event_waits():
    events = [Event(b"start"), Event(b"delta", paced=True), Event(b"stop")]
    assert paced(events, ttft_s=0, duration_s=0) == (Step(b"start"), Step(b"delta"), Step(b"stop"))


def test_a_conversation_reads_what_it_wrote_and_writes_what_is_new():
    cache = PromptCache()
    first = cache.marked("key|model", [TOOLS, SYSTEM, segment("turn 1", 10, FIVE_MINUTES)], now=0)
    turns = [TOOLS, SYSTEM, segment("turn 1", 10), segment("turn 2", 7, FIVE_MINUTES), segment("rest", 3)]
    second = cache.marked("key|model", turns, now=60)
    assert first == CacheCounts(cache_read=0, cache_write_5m=10, cache_write_1h=150)
    assert second == CacheCounts(cache_read=160, cache_write_5m=7, cache_write_1h=0)


def test_a_prefix_expires_after_its_time_to_live():
    cache = PromptCache()
    turns = [TOOLS, SYSTEM, segment("turn 1", 10, FIVE_MINUTES)]
    cache.marked("a", turns, now=0)
    assert cache.marked("a", turns, now=FIVE_MINUTES + 1) == CacheCounts(150, 10, 0)
    assert cache.marked("a", turns, now=2 * ONE_HOUR) == CacheCounts(0, 10, 150)


def test_caches_of_different_keys_are_apart():
    cache = PromptCache()
    cache.marked("a", [SYSTEM], now=0)
    assert cache.marked("b", [SYSTEM], now=1).cache_read == 0


def test_an_implicit_cache_reads_long_prefixes_in_steps():
    cache = PromptCache()
    short, long = [segment("s", 1000)], [segment("s", 1000), segment("t", 300), segment("u", 9)]
    assert cache.implicit("a", short, now=0) == cache.implicit("a", short, now=1) == CacheCounts()
    cache.implicit("a", long, now=2)
    assert cache.implicit("a", [*long[:2], segment("new", 40)], now=3) == CacheCounts(cache_read=1280)


@pytest.mark.parametrize("tokens", [0, 1, 7, 250, 5_000])
def test_prose_counts_as_the_tokens_it_was_asked_for(tokens):
    text = words.prose(Random(3), tokens)
    assert words.count(text) == tokens
    assert text == words.prose(Random(3), tokens)


@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_pieces_put_together_are_the_text(number):
    text = words.prose(Random(1), 9)
    pieces = words.pieces(text, number)
    assert "".join(pieces) == text
    assert len(pieces) <= number
    assert all(pieces)


def test_a_header_is_read_into_counts_and_faults():
    found = parse(" input=374, output=44 ,hang_up_after=3,garbage,model=m ", {"hang_up_after", "garbage"})
    assert (found.count("input"), found.count("output"), found.count("reasoning")) == (374, 44, None)
    assert found.faults == {"hang_up_after": "3", "garbage": "1"}
    assert found.words == {"model": "m"}
