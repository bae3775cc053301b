"""Who the demo's team is: people, services, what they call with, and which models they like. Cheap to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from data.model import Endpoint, Protocol


class Client(StrEnum):
    """What a member calls with."""

    CLAUDE_CODE = "claude_code"
    ANTHROPIC_SDK = "anthropic_sdk"
    OPENAI_SDK = "openai_sdk"
    OPENAI_RESPONSES = "openai_responses"
    CURL = "curl"


class Hours(StrEnum):
    """When a member calls."""

    OFFICE = "office"
    LATE = "late"
    ALWAYS = "always"
    NIGHTLY = "nightly"


@dataclass(frozen=True, slots=True)
class ClientTraits:
    """How one kind of client shows in the ledger. `prompt_tokens` and `answer_tokens` are medians."""

    user_agents: tuple[str, ...]
    protocol: Protocol
    endpoint: Endpoint
    stream_share: float
    prompt_tokens: int
    answer_tokens: int
    has_sessions: bool = False


CLIENTS: Mapping[Client, ClientTraits] = {
    Client.CLAUDE_CODE: ClientTraits(
        (
            "claude-cli/2.3.14 (external, cli)",
            "claude-cli/2.4.2 (external, cli)",
            "claude-cli/2.4.2 (external, vscode)",
        ),
        Protocol.ANTHROPIC,
        Endpoint.MESSAGES,
        1.0,
        1_100,
        240,
        has_sessions=True,
    ),
    Client.ANTHROPIC_SDK: ClientTraits(
        ("Anthropic/Python 2.12.0", "Anthropic/JS 1.8.0"), Protocol.ANTHROPIC, Endpoint.MESSAGES, 0.35, 1_800, 320
    ),
    Client.OPENAI_SDK: ClientTraits(
        ("OpenAI/Python 3.54.0",), Protocol.OPENAI, Endpoint.CHAT_COMPLETIONS, 0.5, 1_500, 260
    ),
    Client.OPENAI_RESPONSES: ClientTraits(
        ("OpenAI/Python 3.54.0", "OpenAI/JS 7.3.0"), Protocol.OPENAI, Endpoint.RESPONSES, 0.6, 2_200, 420
    ),
    Client.CURL: ClientTraits(("curl/8.14.1",), Protocol.ANTHROPIC, Endpoint.MESSAGES, 0.0, 160, 90),
}


@dataclass(frozen=True, slots=True)
class Member:
    """One person or service. `weight` is its share of the calls in its busiest hours; `models` shares add up to 1."""

    user: str
    secret: str  # the made-up credential it calls with
    team: str
    projects: tuple[str, ...]
    client: Client
    models: Mapping[str, float]
    weight: float = 1.0
    hours: Hours = Hours.OFFICE
    env: str = "dev"
    writes_1h: bool = False  # its cache writes live for an hour

    @property
    def key(self) -> str:
        """How the gateway names its credential: `key-` and 8 hex digits of the SHA-256."""
        return "key-" + sha256(self.secret.encode()).hexdigest()[:8]

    @property
    def traits(self) -> ClientTraits:
        """How its client shows in the ledger."""
        return CLIENTS[self.client]


#: The old flagship; from the middle of the history on, the team moves to its successor.
OPUS_BEFORE, OPUS_AFTER = "claude-opus-5", "claude-opus-5-5"
SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-4-5"
GPT, GPT_MINI = "gpt-5", "gpt-5-mini"
#: Not on any price list: its requests are unpriced.
UNLISTED = "acme-coder-7b"

_DEEP = {OPUS_BEFORE: 0.68, HAIKU: 0.32}
_MIXED = {SONNET: 0.55, OPUS_BEFORE: 0.22, HAIKU: 0.23}
_LIGHT = {SONNET: 0.62, HAIKU: 0.38}

TEAM: tuple[Member, ...] = (
    Member("ana", "demo-ana-laptop", "platform", ("gateway", "billing"), Client.CLAUDE_CODE, _DEEP, 1.6),
    Member("ben", "demo-ben-laptop", "platform", ("gateway",), Client.CLAUDE_CODE, _MIXED, 1.3),
    Member("chloe", "demo-chloe-desktop", "platform", ("billing",), Client.CLAUDE_CODE, _LIGHT, 0.8),
    Member(
        "dev",
        "demo-dev-laptop",
        "product",
        ("mobile-app",),
        Client.CLAUDE_CODE,
        _MIXED,
        1.2,
        Hours.LATE,
        writes_1h=True,
    ),
    Member("elif", "demo-elif-laptop", "product", ("mobile-app", "search"), Client.CLAUDE_CODE, _DEEP, 1.4),
    Member("finn", "demo-finn-laptop", "product", ("search",), Client.CLAUDE_CODE, _LIGHT, 0.7),
    Member("grace", "demo-grace-laptop", "data", ("warehouse",), Client.CLAUDE_CODE, _MIXED, 1.0, writes_1h=True),
    Member("hugo", "demo-hugo-desktop", "data", ("warehouse", "search"), Client.CLAUDE_CODE, _LIGHT, 0.6),
    Member("ines", "demo-ines-laptop", "research", ("evals",), Client.CLAUDE_CODE, _DEEP, 1.1, Hours.LATE),
    Member(
        "jonas", "demo-jonas-laptop", "research", ("evals",), Client.ANTHROPIC_SDK, {SONNET: 0.97, UNLISTED: 0.03}, 0.6
    ),
    Member("kemal", "demo-kemal-notebook", "data", ("warehouse",), Client.OPENAI_SDK, {GPT: 0.4, GPT_MINI: 0.6}, 0.5),
    Member("lena", "demo-lena-shell", "product", ("mobile-app",), Client.CURL, {HAIKU: 0.8, SONNET: 0.2}, 0.2),
    Member(
        "search-api",
        "demo-search-prod",
        "product",
        ("search",),
        Client.OPENAI_SDK,
        {GPT_MINI: 0.85, GPT: 0.15},
        1.5,
        Hours.ALWAYS,
        "prod",
    ),
    Member(
        "support-bot",
        "demo-support-prod",
        "product",
        ("mobile-app",),
        Client.OPENAI_RESPONSES,
        {GPT: 0.55, GPT_MINI: 0.45},
        0.9,
        Hours.ALWAYS,
        "prod",
    ),
    Member(
        "etl",
        "demo-etl-nightly",
        "data",
        ("warehouse",),
        Client.ANTHROPIC_SDK,
        {HAIKU: 1.0},
        1.2,
        Hours.NIGHTLY,
        "prod",
    ),
    Member("ci", "demo-ci-runner", "platform", ("gateway",), Client.ANTHROPIC_SDK, {SONNET: 1.0}, 0.5, env="ci"),
)

#: Who caused the spike: an evaluation that ran over night with whole repositories as prompts.
CULPRIT = Member(
    "evals-batch",
    "demo-evals-batch",
    "research",
    ("evals",),
    Client.ANTHROPIC_SDK,
    {OPUS_BEFORE: 1.0},
    0.02,
    Hours.ALWAYS,
    "ci",
)

MEMBERS: tuple[Member, ...] = (*TEAM, CULPRIT)
