"""The running API against its own description: whatever is asked, no 500, and no answer that is not described."""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
import schemathesis.specs.openapi.schemas  # while nothing else runs: Python 3.11 may fail to compile beside threads
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.xdist_group("fuzz")  # its programs are started once

load_all_checks()
_EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 8}
_CHECKS = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
]
#: What some of the requests are answered with at least, so that it is known that they reach what they are for.
_USUAL = {GenerationMode.POSITIVE: {200, 201, 404, 422}, GenerationMode.NEGATIVE: {400, 404, 422}}
#: Says that the API is away or overloaded, which is not what this is about; a server error it is all the same.
_AWAY = {503, 504}


@st.composite
def _drawable(draw: st.DrawFn, cases: st.SearchStrategy[Case]) -> Case:
    """Requests without those in which the generator loses itself in a tree of conditions, as it does now and then."""
    try:
        return draw(cases)
    except RecursionError:
        reject()


def _told(fault: BaseException) -> str:
    parts = getattr(fault, "exceptions", ())
    return "\n".join(map(_told, parts)) if parts else f"{type(fault).__name__}: {fault}"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="cpa-"))
    stack = Stack(home, ui=False, before=("demo", "load", "--days", "2", "--requests", "2000"))
    try:
        yield stack.wait_until_ready()
    finally:
        stack.end()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def document(stack: Stack) -> dict:
    return requests.get(f"{stack.proxy}/api/openapi.json", timeout=30).json()


def test_the_description_is_valid_openapi_and_whole(document: dict):
    validate(document)
    assert "x-note" not in document
    for path in (
        *("/health", "/metrics", "/ws/live", "/api/system/limits", "/api/metrics/cache", "/api/alerts/rules"),
        *("/api/crosstalk/sessions/{id}", "/api/system/crosstalk-stats", "/ws/crosstalk/{id}"),
    ):
        assert path in document["paths"]


@pytest.mark.parametrize("mode", list(_EXAMPLES), ids=lambda mode: mode.value)
def test_no_answer_is_an_error_of_ours_or_not_described(stack: Stack, document: dict, mode: GenerationMode):
    faults, statuses = [], Counter[int]()
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=_EXAMPLES[mode],
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(_drawable(operation.as_strategy(generation_mode=mode)))
        def ask(case: Case) -> None:
            answer = case.call(base_url=stack.proxy, timeout=60)
            statuses[answer.status_code] += 1
            assert answer.status_code not in _AWAY, answer.text
            case.validate_response(answer, checks=_CHECKS)

        try:
            ask()
        except Unsatisfiable:
            continue  # nothing can be wrong with a request for it
        except (Exception, BaseExceptionGroup) as fault:  # noqa: BLE001 - all are asked before any is complained of
            faults.append(f"{operation.label}: {_told(fault)}")
    assert not faults, "\n\n".join(faults)
    assert _USUAL[mode] <= statuses.keys(), statuses


def test_a_conversation_that_there_is_is_answered_for_as_described(stack: Stack, document: dict):
    """Chance does not find its id."""
    people = [{"name": name, "model": "claude-haiku-4-5"} for name in ("Ann", "Bob")]
    body = {"topic": "Is water wet?", "participants": people, "max_turns": 3}
    begun = stack.post("/api/crosstalk/sessions", body).json()
    path = f"/api/crosstalk/sessions/{begun['id']}"
    until(lambda: not stack.get(path).json()["unstored"] and stack.get(path).json()["ended_at"], what="its end")
    described = schemathesis.openapi.from_dict(document)
    for template, method in (
        *(("/api/crosstalk/sessions/{id}", "GET"), ("/api/crosstalk/sessions/{id}/messages", "GET")),
        *(("/api/crosstalk/sessions/{id}/stop", "POST"), ("/api/crosstalk/sessions", "GET")),
        ("/api/system/crosstalk-stats", "GET"),
    ):
        names = {"id": begun["id"]} if "{id}" in template else {}
        case = described[template][method].Case(path_parameters=names)
        answer = case.call(base_url=stack.proxy, timeout=60)
        assert answer.status_code == 200, answer.text
        case.validate_response(answer, checks=_CHECKS)


def test_a_parameter_that_is_not_described_is_refused(stack: Stack, document: dict):
    plain = [path for path, item in document["paths"].items() if "get" in item and "{" not in path and "/api/" in path]
    assert len(plain) > 15
    answers = {path: requests.get(f"{stack.proxy}{path}?nothing=1", timeout=30) for path in plain}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(plain, 400)


def test_a_method_that_is_not_described_is_refused(stack: Stack, document: dict):
    for template in document["paths"]:
        path = re.sub("[{}]", "", template)
        known = _methods(document, path)
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - known:
            answer = requests.request(method, stack.proxy + path, timeout=30)
            found = answer.status_code, answer.headers["Content-Type"].partition(";")[0]
            assert found == (405, "application/problem+json"), f"{method} {path}"
            allowed = set(answer.headers["Allow"].replace(" ", "").split(","))
            assert known <= allowed
            assert method not in allowed


def _methods(document: dict, path: str) -> set[str]:
    """Of every described path that this one is."""
    items = (
        item for template, item in document["paths"].items() if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
    )
    return {name.upper() for item in items for name in item}
