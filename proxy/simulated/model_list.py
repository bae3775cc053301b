"""The models that the simulated provider lists, and how fast each one answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model: its name pattern, the median time to its first token, its speed, its usual answer."""

    name: str
    owner: str
    label: str
    released: str  # ISO date
    ttft_ms: float
    tokens_per_s: float
    answer_tokens: int = 220  # median
    reasons: bool = False


MODELS: tuple[ModelProfile, ...] = (
    ModelProfile("claude-opus-5-5", "anthropic", "Claude Opus 5.5", "2026-07-14", 1300, 58),
    ModelProfile("claude-opus-5", "anthropic", "Claude Opus 5", "2026-03-03", 1500, 52),
    ModelProfile("claude-sonnet-5-5", "anthropic", "Claude Sonnet 5.5", "2026-08-18", 800, 82),
    ModelProfile("claude-sonnet-4-5", "anthropic", "Claude Sonnet 4.5", "2025-09-29", 950, 70),
    ModelProfile("claude-haiku-4-5", "anthropic", "Claude Haiku 4.5", "2025-10-01", 420, 150, 140),
    ModelProfile("gpt-5", "openai", "GPT-5", "2025-08-07", 1700, 65, 260, reasons=True),
    ModelProfile("gpt-5-mini", "openai", "GPT-5 mini", "2025-08-07", 700, 120, 180, reasons=True),
    ModelProfile("gpt-5.1", "openai", "GPT-5.1", "2025-11-13", 1200, 75, 240, reasons=True),
    ModelProfile("gpt-4.1", "openai", "GPT-4.1", "2025-04-14", 600, 95),
    ModelProfile("gpt-4o-mini", "openai", "GPT-4o mini", "2024-07-18", 380, 130, 150),
    ModelProfile("gemini-2.5-pro", "google", "Gemini 2.5 Pro", "2025-06-17", 1400, 90, 260, reasons=True),
    ModelProfile("gemini-2.5-flash", "google", "Gemini 2.5 Flash", "2025-06-17", 500, 160),
    ModelProfile("text-embedding-3-small", "openai", "Embedding 3 small", "2024-01-25", 60, 1),
    ModelProfile("gemini-embedding-001", "google", "Gemini Embedding 001", "2025-07-14", 60, 1),
)

_ANY = ModelProfile("", "simulated", "", "2026-01-01", 800, 80)
_LONGEST_FIRST = sorted(MODELS, key=lambda each: -len(each.name))


def profile(model: str) -> ModelProfile:
    """The profile of `model`, also of a dated name such as `gpt-5-2025-08-07`; a plain one for unknown names."""
    return next((each for each in _LONGEST_FIRST if model.startswith(each.name)), _ANY)


def listed(owner: str) -> tuple[ModelProfile, ...]:
    """The models of `owner`."""
    return tuple(each for each in MODELS if each.owner == owner)
