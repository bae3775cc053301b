"""OpenTelemetry's GenAI names for what the ledger calls its own way. Pure."""

from typing import Final
from urllib.parse import urlsplit

from data.model import Endpoint

_OPERATIONS: Final[dict[str, str]] = {
    Endpoint.MESSAGES: "chat",
    Endpoint.CHAT_COMPLETIONS: "chat",
    Endpoint.RESPONSES: "chat",
    Endpoint.BATCH_RESULT: "chat",
    Endpoint.EMBEDDINGS: "embeddings",
    Endpoint.GENERATE_CONTENT: "generate_content",
}
_BY_HOST: Final = {
    "api.anthropic.com": "anthropic",
    "api.openai.com": "openai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
_BY_NAME: Final = {"gemini": "gcp.gemini", "google": "gcp.gemini"}


def operation_name(endpoint: str) -> str:
    """Return `gen_ai.operation.name`: the convention's word, the endpoint's own where it has none."""
    return _OPERATIONS.get(endpoint, endpoint)


def provider_name(name: str, base_url: str = "") -> str:
    """Return `gen_ai.provider.name` of the provider configured as `name`: by whose address it is, else its name."""
    return _BY_HOST.get(urlsplit(base_url).hostname or "") or _BY_NAME.get(name.lower(), name)
