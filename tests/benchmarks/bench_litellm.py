"""What the proxy costs beside LiteLLM's, on the same machine, provider and load, in one run.

`python -m tests.benchmarks.bench_litellm [--rounds 5] [--seconds 5] [--peer-venv DIR] [--peer REQUIREMENT]`

The peer is `litellm[proxy]` from the package registry, in an environment of its own that is made at the first run;
how it is set up, `litellm_peer` says: for speed, and with less to do than the proxy, whose ledger is on. Each has one
process. Where the peer cannot be installed or started, this says so and measures nothing.

Each round presses the provider itself, the proxy and the peer one after the other over 32 connections, and then asks
them in turn over one. It does so for OpenAI's chat completions and for Anthropic's messages, for these also by the
Rust core that the peer has for them. Figures are medians of the rounds' own; they should be at least 30 times the
peer's requests a second, and at most a tenth of what it adds at p50 with one connection.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import litellm_peer
from tests.benchmarks.load import Load, Targets, alone, compared, post, pressed, ratio, say, started

TURNS = 10
#: A turn's requests: so few that the peer's do not take minutes.
EACH = 20
BODY = b'{"model":"%s","max_tokens":64,"messages":[{"role":"user","content":"%s"}]}'
Requests = dict[str, bytes]


def chat(model: str) -> bytes:
    body = BODY % (model.encode(), b"x" * 400)
    return post("/v1/chat/completions", body, authorization="Bearer sk-bench")


def messages(model: str) -> bytes:
    body = BODY % (model.encode(), b"x" * 400)
    return post("/v1/messages", body, x_api_key="sk-bench", anthropic_version="2023-06-01")


#: By endpoint: the targets' requests. The provider takes any model.
ENDPOINTS: dict[str, Requests] = {
    "chat completions": dict.fromkeys(("direct", "proxy", "litellm"), chat(litellm_peer.CHAT)),
    "messages": {
        **dict.fromkeys(("direct", "proxy", "litellm"), messages(litellm_peer.MESSAGES)),
        "litellm, Rust": messages(litellm_peer.RUST),
    },
}


async def measure(targets: Targets, requests: Requests, arguments: argparse.Namespace) -> dict[str, Load]:
    loads = {name: Load(targets[name][1]) for name in requests}
    for name, request in requests.items():
        await pressed(targets[name][0], request, arguments.seconds)
    for _ in range(arguments.rounds):
        for name, request in requests.items():
            await loads[name].press(targets[name][0], request, arguments.seconds)
        await take_turns(targets, requests, loads)
    return loads


async def take_turns(targets: Targets, requests: Requests, loads: dict[str, Load]) -> None:
    """One round of lone requests: a few to each target, again and again."""
    for load in loads.values():
        load.plain_ms.append([])
    for _ in range(TURNS):
        for name, request in requests.items():
            loads[name].plain_ms[-1] += [whole for _, whole in await alone(targets[name][0], request, EACH)]


def report(endpoint: str, loads: dict[str, Load]) -> None:
    say(f"\n{endpoint:18}{'req/s':>9}{'cpu us/req':>12}{'p50 ms':>9}{'p99 ms':>9}{'MB':>8}")
    for name, load in loads.items():
        rates = f"{median(load.rates):9.0f}{median(load.cpu_us):12.0f}"
        whole = f"{median(load.plain(0.5)):9.3f}{median(load.plain(0.99)):9.3f}"
        say(f"{name:18}{rates}{whole}{load.process.memory_info().rss / 1e6:8.0f}")
    direct, ours = loads["direct"].plain(0.5), loads["proxy"]
    added = [mine - none for mine, none in zip(ours.plain(0.5), direct, strict=True)]
    for name, theirs in list(loads.items())[2:]:
        say(f"requests/s, 32 connections, proxy to {name}: {ratio(ours.rates, theirs.rates)} (aim: at least 30)")
        theirs_added = [other - none for other, none in zip(theirs.plain(0.5), direct, strict=True)]
        share = compared(added, theirs_added, lambda mine, other: mine / other, digits=3)
        ms = f"{median(added):.2f} to {median(theirs_added):.2f} ms"
        say(f"added at p50, one connection, proxy to {name}: {share} of it, {ms} (aim: at most 0.1)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--peer-venv", type=Path, default=litellm_peer.VENV, help="where the peer is, or is to be")
    parser.add_argument("--peer", default="litellm[proxy]", help="what to install there")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub, stubs = stack.enter_context(started("-m", "tests.benchmarks.stub"))
        try:
            command, version = litellm_peer.installed(arguments.peer_venv, arguments.peer)
            peer, peers = stack.enter_context(litellm_peer.running(command, stub, home))
        except litellm_peer.NoPeer as reason:
            say(f"skipped, there is no peer to compare with: {reason}")
            return
        say(f"litellm {version}, one Uvicorn worker, no database, against the proxy with its ledger")
        environ = {
            "CLAUDE_PROXY_HOME": str(home / "proxy"),
            "CLAUDE_PROXY_PROXY_PORT": "0",
            "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": stub,
            "CLAUDE_PROXY_PROVIDERS_OPENAI_BASE_URL": stub,
        }
        ours, process = stack.enter_context(started("-m", "proxy", environ=environ))
        targets = {"direct": (stub, stubs), "proxy": (ours, process), "litellm": (peer, peers)}
        targets["litellm, Rust"] = targets["litellm"]
        for endpoint, requests in ENDPOINTS.items():
            report(endpoint, uvloop.run(measure(targets, requests, arguments)))


if __name__ == "__main__":
    main()
