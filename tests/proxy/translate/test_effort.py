"""How much a model is asked to think, in either protocol."""

from typing import Any

import pytest

from proxy.translate.effort import effort_for, thinking_for


@pytest.mark.parametrize(
    ("model", "thinking", "budget", "effort", "expected"),
    [
        ("gpt-5.2", "", 0, "", ""),
        ("gpt-5.6", "", 0, "max", "max"),
        ("gpt-5.2", "", 0, "max", "xhigh"),
        ("gpt-5", "", 0, "xhigh", "high"),
        ("o3", "", 0, "max", "high"),
        ("qwen3-coder", "", 0, "xhigh", "high"),
        ("gpt-5.2", "adaptive", 0, "", ""),
        ("gpt-5.2", "adaptive", 0, "low", "low"),
        ("gpt-5.2", "between_tools", 0, "", ""),
        ("gpt-5.2", "enabled", 1_024, "", "low"),
        ("gpt-5.2", "enabled", 4_096, "", "low"),
        ("gpt-5.2", "enabled", 4_097, "", "medium"),
        ("gpt-5.2", "enabled", 16_384, "", "medium"),
        ("gpt-5.2", "enabled", 31_999, "", "high"),
        ("gpt-5.2", "enabled", 31_999, "low", "low"),
        ("gpt-5.2", "disabled", 0, "", "none"),
        ("openai/gpt-6-mini", "disabled", 0, "", "none"),
        ("gpt-5", "disabled", 0, "", ""),
        ("o3", "disabled", 0, "", ""),
        ("qwen3-coder", "disabled", 0, "", ""),
        ("qwen3-coder", "enabled", 9_000, "", "medium"),
        ("gpt-4o", "enabled", 9_000, "high", ""),
        ("openai/gpt-4.1-mini", "adaptive", 0, "high", ""),
    ],
)
def test_towards_openai(model: str, thinking: str, budget: int, effort: str, expected: str):
    assert effort_for(model, thinking, budget, effort, has_tools=False) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5.4", "none"),
        ("gpt-5.6-terra", "none"),
        ("gpt-5.1", "high"),
        ("openai/gpt-5.6", "high"),
        ("gpt-4o", ""),
        ("qwen3-coder", "high"),
    ],
)
def test_openai_serves_no_reasoning_with_tools(model: str, expected: str):
    assert effort_for(model, "adaptive", 0, "high", has_tools=True) == expected


ADAPTIVE = {"thinking": {"type": "adaptive"}}


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


@pytest.mark.parametrize(
    ("model", "effort", "max_tokens", "may_think", "expected"),
    [
        ("claude-opus-5-5", "high", 9_000, True, ADAPTIVE | {"output_config": {"effort": "high"}}),
        ("claude-opus-4-6", "minimal", 9_000, True, ADAPTIVE | {"output_config": {"effort": "low"}}),
        ("claude-opus-5-5", "high", 9_000, False, {"output_config": {"effort": "high"}}),
        ("claude-opus-5-5", "none", 9_000, True, {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-4-5-20250929", "high", 32_000, True, budget(16_384)),
        ("claude-sonnet-4-20250514", "medium", 32_000, True, budget(8_192)),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "max", 32_000, True, budget(24_576)),
        ("claude-sonnet-4@20250514", "low", 32_000, True, budget(2_048)),
        ("claude-3-7-sonnet-latest", "low", 2_000, True, budget(1_999)),
        ("claude-haiku-4-5", "low", 1_024, True, {}),
        ("claude-haiku-4-5", "high", 32_000, False, {}),
        ("claude-3-5-sonnet-latest", "high", 8_000, True, {}),
        ("claude-3-haiku-20240307", "none", 4_000, True, {}),
    ],
)
def test_towards_anthropic(model: str, effort: str, max_tokens: int, may_think: bool, expected: dict[str, Any]):  # noqa: FBT001
    assert thinking_for(model, effort, max_tokens, may_think=may_think) == expected
