"""A made-up team that calls the proxy while one looks on: `python -m app.traffic --url http://127.0.0.1:8082`.

Its members are those of the demo's history, so that live rows continue it.
"""

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp

from data.demo_team import OPUS_AFTER, OPUS_BEFORE, TEAM, Member
from data.model import Endpoint
from data.tasks import Tasks

_MOST_IN_FLIGHT = 40
_TURNS = 25  # calls after which a session ends
_HANGS_UP = 0.01  # of the streams are left half read
_FAULTS = ("error=529", "error=429,retry_after=2", "error=500", "hang_up_after=4", "error=400")
_FAULTY = 0.03
_SYSTEM = "You are a careful engineer who reads the failing test first and says what you changed. "
_TOOLS = "Claude Code's tools, each with its description and the schema of its arguments. " * 870  # 17,500 tokens
_TURN = "What was read, what was changed and what the tests said. " * 95  # 1,350 tokens
_TOPICS = (
    "Why does the total leave out cached tokens?",
    "Rename the field and update its callers.",
    "The nightly job skips the last hour of a month. Find out why.",
    "Write a test for the retry after a refused connection.",
    "Which index would make this query fast?",
    "Summarise the last ten commits for the changelog.",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: where it goes, with what."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    hangs_up: bool = False


class Person:
    """One member at work: goes on with its conversation until it starts a new one."""

    def __init__(self, member: Member, random: Random) -> None:
        self.member = member
        self._random = random
        self._start_over()

    def next_call(self) -> Call:
        """What the member asks next."""
        if len(self._said) >= 2 * _TURNS:
            self._start_over()
        self._said.append({"role": "user", "content": self._random.choice(_TOPICS)})
        stream = self._random.random() < self.member.traits.stream_share
        coding = self.member.traits.has_sessions
        write = _coding if coding else _WRITERS[self.member.traits.endpoint]
        body = write(self._model(), self._said, stream=stream)
        # what the model said is not read: the same words in its place keep the conversation growing
        self._said.append({"role": "assistant", "content": _TURN if coding else _SYSTEM})
        return Call(
            _PATHS[self.member.traits.endpoint],
            self._headers(),
            body,
            hangs_up=stream and self._random.random() < _HANGS_UP,
        )

    def _start_over(self) -> None:
        self._said: list[dict[str, Any]] = []
        self._session = str(uuid4())
        self._project = self._random.choice(self.member.projects)

    def _model(self) -> str:
        models = self.member.models
        chosen = self._random.choices(list(models), list(models.values()))[0]
        return OPUS_AFTER if chosen == OPUS_BEFORE else chosen

    def _headers(self) -> dict[str, str]:
        member = self.member
        headers = {
            "authorization": f"Bearer {member.secret}",
            "user-agent": member.traits.user_agents[-1],
            "x-claude-proxy-user": member.user,
            "x-claude-proxy-team": member.team,
            "x-claude-proxy-project": self._project,
            "x-claude-proxy-tags": f"env={member.env}",
        }
        if member.traits.endpoint is Endpoint.MESSAGES:
            headers |= {"x-api-key": headers.pop("authorization").removeprefix("Bearer ")}
            headers |= {"anthropic-version": "2023-06-01"}
        if member.traits.has_sessions:
            headers["x-claude-code-session-id"] = self._session
        if self._random.random() < _FAULTY:
            headers["x-simulate"] = self._random.choice(_FAULTS)
        return headers


def _coding(model: str, said: list[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
    """As Claude Code asks: the tools and the conversation so far are marked to be cached."""
    mark = {"cache_control": {"type": "ephemeral"}}
    last = {"role": "user", "content": [{"type": "text", "text": said[-1]["content"], **mark}]}
    system = [{"type": "text", "text": _TOOLS, **mark}]
    return _messages(model, [*said[:-1], last], stream=stream) | {"system": system}


def _messages(model: str, said: list[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4096, "stream": stream, "system": _SYSTEM, "messages": list(said)}


def _chat(model: str, said: list[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
    options = {"stream_options": {"include_usage": True}} if stream else {}
    return {"model": model, "stream": stream, "messages": list(said), **options}


def _responses(model: str, said: list[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
    return {"model": model, "stream": stream, "instructions": _SYSTEM, "input": list(said)}


_WRITERS = {Endpoint.MESSAGES: _messages, Endpoint.CHAT_COMPLETIONS: _chat, Endpoint.RESPONSES: _responses}
_PATHS = {
    Endpoint.MESSAGES: "v1/messages",
    Endpoint.CHAT_COMPLETIONS: "v1/chat/completions",
    Endpoint.RESPONSES: "v1/responses",
}


async def drive(url: str, *, rate: float, stopping: asyncio.Event, seed: int | None = None) -> int:
    """Call the proxy at `url` about `rate` times a second until `stopping` is set; how many calls were begun.

    Calls still in flight then are given up. A proxy that is away is tried again with the next call.
    """
    random = Random(seed)  # noqa: S311 - chance, not a secret
    people = [Person(member, random) for member in TEAM]
    weights = [person.member.weight for person in people]
    tasks, free = Tasks(), asyncio.Semaphore(_MOST_IN_FLIGHT)
    begun = 0
    async with aiohttp.ClientSession(url.rstrip("/") + "/") as session:
        try:
            while not stopping.is_set():
                async with free:
                    call = random.choices(people, weights)[0].next_call()
                    tasks.start(_make(session, call, free), name=f"call to {call.path}")
                begun += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), random.expovariate(rate))
        finally:
            await tasks.stop()
    return begun


async def _make(session: aiohttp.ClientSession, call: Call, free: asyncio.Semaphore) -> None:
    """One call, answered to its end or left half read; what goes wrong is the ledger's to tell."""
    async with free:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(call.path, json=call.body, headers=call.headers) as answer:
                if call.hangs_up:
                    await answer.content.readany()
                    answer.close()
                else:
                    await answer.read()


async def _run(url: str, rate: float) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    print(f"traffic ready {url}", flush=True)  # noqa: T201 - the supervisor waits for this line
    await drive(url, rate=rate, stopping=stopping)


def main() -> None:
    """Call until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m app.traffic", description="A made-up team that calls the proxy.")
    parser.add_argument("--url", required=True, help="the proxy")
    parser.add_argument("--rate", type=_positive, default=0.5, help="calls a second (default: 0.5)")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.url, arguments.rate))


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000")
    return number


if __name__ == "__main__":
    main()
