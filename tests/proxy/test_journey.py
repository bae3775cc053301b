"""Which places a call is sent to, one after the other, whatever fails."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import ProviderConfig
from data.model import Cause, Protocol
from data.route_config import BreakerConfig
from proxy.breaker import Breaker
from proxy.failure import HANDLING, Failure, FailureClass
from proxy.journey import Journey, Rotation
from proxy.routing import LISTS, Candidate, Plan
from proxy.time_limits import time_limits

LIMITS = time_limits(connect_s=1, first_byte_s=1, idle_s=1, total_s=1)
F = FailureClass


def place(name: str, *, model: str = "", keys: int = 0, **settings) -> Candidate:
    credentials = tuple(f"key-{number}" for number in range(keys))
    provider = ProviderConfig(Protocol.ANTHROPIC, "https://x.example", name=name, api_keys=credentials, **settings)
    return Candidate(provider, LIMITS, model)


A, B, C = place("a"), place("b"), place("c")


def journey(plan: Plan, **settings) -> Journey:
    breaker = settings.pop("breaker", Breaker(BreakerConfig(failures=100)))
    return Journey(plan, breaker, settings.pop("rotation", Rotation()), model="m", **settings)


def names(way: Journey, *failures: Failure | FailureClass, random: float = 0.0) -> list[str]:
    """The providers that are asked, in order, when these failures come one after the other."""
    step = way.first(0)
    asked = [step.candidate.provider.name]
    for failure in failures:
        told = Failure(failure) if isinstance(failure, FailureClass) else failure
        step = way.after(step, told, 0, lambda: random)
        if step is None:
            break
        asked.append(step.candidate.provider.name)
    return asked


@pytest.mark.parametrize("kind", list(FailureClass))
def test_each_failure_looks_at_its_own_list(kind: FailureClass):
    plan = Plan((A,), {name: (place(name),) for name in LISTS})
    expected = [HANDLING[kind].list] if HANDLING[kind].list else []
    if kind is F.AUTH:  # it is the caller's own credential
        expected = []
    assert names(journey(plan), kind) == ["a", *expected]


def test_fallbacks_are_asked_in_order_and_once():
    plan = Plan((A,), {"overloaded": (B, C, B), "error": (C,)})
    assert names(journey(plan), F.OVERLOADED, F.ERROR, F.OVERLOADED, F.OVERLOADED) == ["a", "b", "c"]


def test_retries_come_before_fallbacks_and_are_counted():
    plan = Plan((A,), {"error": (B,)}, retries=2)
    assert names(journey(plan), F.ERROR, F.ERROR, F.ERROR) == ["a", "a", "a", "b"]


def test_a_provider_that_says_so_is_not_asked_again():
    plan = Plan((A,), {"error": (B,)}, retries=2)
    assert names(journey(plan), Failure(F.ERROR, should_retry=False)) == ["a", "b"]


def test_the_routes_other_choices_come_before_its_fallbacks():
    plan = Plan((A, B), {"error": (C,)})
    asked = names(journey(plan, session="s"), F.ERROR, F.ERROR, F.ERROR)
    assert sorted(asked[:2]) == ["a", "b"]
    assert asked[2:] == ["c"]


def test_a_session_stays_at_its_place_and_sessions_spread_by_weight():
    heavy = msgspec.structs.replace(B, weight=3.0)
    first = [journey(Plan((A, heavy)), session=str(n)).first(0).candidate.provider.name for n in range(2000)]
    again = [journey(Plan((A, heavy)), session=str(n)).first(0).candidate.provider.name for n in range(2000)]
    assert first == again
    assert 0.70 < first.count("b") / len(first) < 0.80


@pytest.mark.parametrize("kind", [F.RATE_LIMITED, F.QUOTA, F.AUTH])
def test_every_credential_is_tried_before_another_provider(kind: FailureClass):
    plan = Plan((place("a", keys=3),), {HANDLING[kind].list: (B,)})
    way = journey(plan)
    step, used = way.first(0), []
    while step is not None and step.candidate.provider.name == "a":
        used.append(step.credential)
        step = way.after(step, Failure(kind), 0)
    assert sorted(used) == [0, 1, 2]
    assert step.candidate is B


def test_credentials_take_turns_or_wait_for_the_first_to_fail():
    rotation = Rotation()
    turns = [journey(Plan((place("a", keys=3),)), rotation=rotation).first(0).credential for _ in range(4)]
    assert turns == [0, 1, 2, 0]
    steady = [
        journey(Plan((place("a", keys=3, rotation="failover"),)), rotation=rotation).first(0).credential
        for _ in range(4)
    ]
    assert steady == [0, 0, 0, 0]


def test_a_pause_longer_than_the_limit_is_not_waited_for():
    plan = Plan((A,), {"rate_limited": (B,)}, retries=5)
    assert names(journey(plan, longest_wait_s=10), Failure(F.RATE_LIMITED, retry_after_s=10.1)) == ["a", "b"]
    way = journey(plan, longest_wait_s=10)
    step = way.after(way.first(0), Failure(F.RATE_LIMITED, retry_after_s=9.5), 0)
    assert (step.candidate, step.wait_s, step.cause) == (A, 9.5, Cause.RETRY)


@pytest.mark.parametrize(("keys", "retries"), [(0, 2), (3, 0)])
def test_a_fallback_that_is_asked_again_is_still_a_fallback(keys: int, retries: int):
    way = journey(Plan((A,), {"overloaded": (place("b", keys=keys),)}, retries=retries))
    first = way.first(0)
    steps = [way.after(first, Failure(F.OVERLOADED, should_retry=False), 0)]
    while (step := way.after(steps[-1], Failure(F.RATE_LIMITED, retry_after_s=0.1), 0)) is not None:
        steps.append(step)
    assert (first.cause, {step.candidate.provider.name for step in steps}) == (Cause.FIRST, {"b"})
    assert [step.cause for step in steps] == [Cause.FALLBACK, Cause.FALLBACK_RETRY, Cause.FALLBACK_RETRY]


@pytest.mark.parametrize(
    ("caps", "costs", "asked"),
    [
        ({"cap_usd": Decimal("0.5")}, {"a": 1, "b": 500_000_001, "c": 500_000_000}, ["a", "c"]),
        ({"cap_factor": 2.0}, {"a": 100, "b": 201, "c": 200}, ["a", "c"]),
        ({"cap_factor": 2.0}, {"a": 100, "b": None, "c": 1}, ["a", "c"]),
        ({}, {"a": 1, "b": None, "c": 1}, ["a", "b"]),
    ],
    ids=["dollars", "factor", "unknown price", "no cap"],
)
def test_a_place_over_the_cap_is_passed_over(caps, costs: dict[str, int | None], asked: list[str]):
    plan = Plan((A,), {"error": (B, C)}, **caps)
    way = journey(plan)
    way.worst = lambda candidate: costs[candidate.provider.name]
    assert names(way, F.ERROR) == asked


def test_a_place_that_is_left_alone_is_passed_over():
    breaker = Breaker(BreakerConfig(failures=1, open_s=60))
    plan = Plan((A,), {"overloaded": (B,), "error": (C,)})
    way = journey(plan, breaker=breaker)
    breaker.failed(way.first(0).place, 0)
    step = journey(plan, breaker=breaker).first(0)
    assert (step.candidate, step.cause) == (B, Cause.FALLBACK)


@pytest.mark.parametrize(
    ("caps", "costs", "asked"),
    [
        ({"cap_usd": Decimal("0.5")}, {"a": 1, "b": 500_000_001, "c": 500_000_000}, "c"),
        ({"cap_factor": 2.0}, {"a": 100, "b": 201, "c": 200}, "c"),
        ({"cap_usd": Decimal("0.5")}, {"a": 600_000_000, "b": None, "c": 500_000_001}, "a"),
        ({}, {"a": 1, "b": None, "c": 1}, "b"),
    ],
    ids=["dollars", "factor", "nothing that it may cost", "no cap"],
)
@pytest.mark.parametrize("peers", [False, True], ids=["fallbacks", "other choices"])
def test_a_place_over_the_cap_does_not_stand_in_for_one_that_is_left_alone(caps, costs, asked: str, *, peers: bool):
    b, c = (msgspec.structs.replace(each, weight=weight) for each, weight in ((B, 1e-100), (C, 1e-200)))
    plan = Plan((A, b, c), **caps) if peers else Plan((A,), {"overloaded": (B, C)}, **caps)
    breaker = Breaker(BreakerConfig(failures=1, open_s=60))
    breaker.failed(journey(plan, session="s").first(0).place, 0)
    way = journey(plan, breaker=breaker, session="s")
    way.worst = lambda candidate: costs[candidate.provider.name]
    step = way.first(0)
    assert (step.candidate.provider.name, step.cause) == (asked, Cause.FIRST if asked == "a" else Cause.FALLBACK)


def test_a_place_over_the_cap_is_not_waited_for():
    breaker = Breaker(BreakerConfig(failures=1, open_s=60, without_alternative="refuse"))
    plan = Plan((A, msgspec.structs.replace(B, weight=1e-100)), cap_usd=Decimal("0.5"))
    breaker.failed(journey(plan, session="s").first(0).place, 0)
    way = journey(plan, breaker=breaker, session="s")
    way.worst = lambda candidate: {"a": 1, "b": None}[candidate.provider.name]
    assert way.first(0) is None
    assert way.why == (
        "every place that could serve this call is being left alone; b has no known price, and the route has a cost cap"
    )
    assert way.retry_in_s(0) == 60


def test_the_call_that_tries_a_place_in_trouble_is_marked():
    breaker = Breaker(BreakerConfig(failures=1, open_s=60))
    step = journey(Plan((A,)), breaker=breaker).first(0)
    breaker.failed(step.place, 0)
    assert [step.probe, journey(Plan((A,)), breaker=breaker).first(60).probe] == [False, True]


@pytest.mark.parametrize(
    ("plan", "asked"),
    [
        (Plan((A,)), ["a"]),
        (Plan((A,), retries=2), ["a"]),
        (Plan((A, msgspec.structs.replace(B, weight=1e-100)), {"error": (C,)}), ["a", "b", "c"]),
        (Plan((A,), {"rate_limited": (B,)}), ["a"]),
        (Plan((A,), {"overloaded": (B, C, A, place("b"))}), ["a", "b", "c"]),
        (Plan((A,), {"error": (B, place("b", model="x"))}), ["a", "b", "b"]),
    ],
    ids=["alone", "no retry", "other choices first", "not what is for pauses", "each once", "another model there"],
)
@pytest.mark.parametrize("alternative", ["ask", "refuse"])
def test_a_place_that_cannot_be_sent_the_call_is_left_out(plan: Plan, asked: list[str], alternative: str):
    way = journey(plan, session="s", breaker=Breaker(BreakerConfig(without_alternative=alternative)))
    thought_of, step = [], way.first(0)
    while step is not None:
        assert way.tried == 1
        assert step.cause is (Cause.FALLBACK if thought_of else Cause.FIRST)
        thought_of.append(step.candidate.provider.name)
        step = way.instead(step, 0)
    assert thought_of == asked


def test_what_follows_a_failure_goes_on_past_a_place_that_cannot_be_sent_the_call():
    way = journey(Plan((A,), {"overloaded": (B, C), "error": (place("d"),)}))
    unsent = way.after(way.first(0), Failure(F.OVERLOADED), 0)
    step = way.instead(unsent, 0)
    assert (unsent.candidate, step.candidate, way.tried) == (B, C, 2)
    assert way.instead(step, 0) is None
    assert way.tried == 1


def test_a_peer_that_is_left_alone_is_asked_where_the_first_choice_cannot_be():
    plan, breaker = Plan((A, msgspec.structs.replace(B, weight=1e-100))), Breaker(BreakerConfig(failures=1, open_s=60))
    way = journey(plan, breaker=breaker, session="s")
    breaker.failed(way.instead(way.first(0), 0).place, 0)
    way = journey(plan, breaker=breaker, session="s")
    assert way.instead(way.first(0), 0).candidate.provider.name == "b"


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        pytest.param("m", ["a", "c"], id="the same model elsewhere"),
        pytest.param("m big", ["a", "b", "c"], id="one that it may ask for"),
        pytest.param(None, ["a", "b", "c", "d"], id="no key"),
    ],
)
def test_a_fallback_to_a_model_that_the_key_is_not_for_is_passed_over(allowed: str | None, asked: list[str]):
    plan = Plan((A,), {"error": (place("b", model="big"), C, place("d", model="small"))})
    way = journey(plan, allows=None if allowed is None else allowed.split().__contains__)
    assert names(way, *[F.ERROR] * 4) == asked
    told = "d is a fallback to the model 'small', which the virtual key is not for"
    assert (way.why == told) is (allowed is not None)


def test_a_key_that_may_ask_for_a_name_may_have_what_it_stands_for_wherever_it_is():
    choices = (place("a", model="big"), place("b", model="bigger"))
    places = (place("c", model="big"), place("d", model="bigger"), place("e", model="small"))
    way = journey(Plan(choices, {"error": places}), session="s", allows="m".__eq__)
    assert sorted(names(way, *[F.ERROR] * 5)) == ["a", "b", "c", "d"]


def test_a_key_decides_which_fallbacks_stand_in_for_a_place_that_is_left_alone():
    breaker = Breaker(BreakerConfig(failures=1, open_s=60, without_alternative="refuse"))
    plan = Plan((A,), {"overloaded": (place("b", model="big"),)})
    breaker.failed(journey(plan, breaker=breaker).first(0).place, 0)
    assert journey(plan, breaker=breaker).first(0).candidate.provider.name == "b"
    way = journey(plan, breaker=breaker, allows="m".__eq__)
    assert way.first(0) is None
    assert way.why == (
        "every place that could serve this call is being left alone; "
        "b is a fallback to the model 'big', which the virtual key is not for"
    )


def test_why_there_is_no_further_step():
    way = journey(Plan((A,)))
    assert way.after(way.first(0), Failure(F.AUTH), 0) is None
    assert "credential" in way.why


FAILURES = st.builds(
    Failure,
    st.sampled_from(list(FailureClass)),
    retry_after_s=st.none() | st.floats(0, 1e6),
    should_retry=st.none() | st.booleans(),
)


@given(
    st.lists(st.builds(place, st.sampled_from("abcd"), keys=st.integers(0, 3)), min_size=1, max_size=3),
    st.dictionaries(
        st.sampled_from(LISTS), st.lists(st.builds(place, st.sampled_from("cdef"), keys=st.integers(0, 2)), max_size=3)
    ),
    st.integers(0, 4),
    st.lists(FAILURES, min_size=60, max_size=60),
)
def test_a_way_always_ends_within_what_its_plan_allows(choices, fallbacks, retries, failures):
    plan = Plan(tuple(choices), {name: tuple(places) for name, places in fallbacks.items()}, retries)
    way = journey(plan, longest_wait_s=10)
    step, steps = way.first(0), []
    for failure in failures:
        steps.append(step)
        step = way.after(step, failure, 0)
        if step is None:
            break
        assert 0 <= step.wait_s <= 10
    assert step is None
    places = (*choices, *(each for listed in fallbacks.values() for each in listed))
    credentials = sum(max(len(each.provider.credentials), 1) for each in places)
    assert len(steps) <= credentials + retries
    repeats = len(steps) - len({(id(each.candidate), each.credential) for each in steps})
    assert repeats <= retries
