"""Which template a model gets, and what SmolLM2's renders."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pytest

from deepthrift.errors import ConfigurationError, ModelFileError
from deepthrift.local import Family, GGUFHeader
from deepthrift.local._engine.profile import profile_for
from deepthrift.local._engine.templates import family_of, template_text

BASE = GGUFHeader(
    path=Path("m.gguf"),
    size=1,
    architecture="llama",
    name="m",
    context_length=8192,
    tokens=49152,
    chat_template="{{ messages }}",
    v31_vocabulary=False,
    files=(Path("m.gguf"),),
    metadata={},
)
SMOL = replace(
    BASE,
    chat_template="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    metadata={"tokenizer.ggml.pre": "smollm"},
)
V31 = replace(BASE, architecture="deepseek2", v31_vocabulary=True)


def render(*messages: dict[str, Any], generate: bool = True) -> str:
    environment = jinja2.Environment(autoescape=False)
    source = resources.files("deepthrift.local").joinpath("templates", "smollm2.jinja").read_text("utf-8")
    return environment.from_string(source).render(messages=messages, add_generation_prompt=generate)


def test_smollm2_gets_a_neutral_system_prompt() -> None:
    assert render({"role": "user", "content": "Hi"}) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_smollm2_keeps_the_users_own_system_prompt_and_the_order_of_turns() -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<b>2 & 2</b>"},
        {"role": "assistant", "content": "4", "reasoning_content": "left out"},
        {"role": "tool", "content": "ok"},
        {"role": "assistant", "content": None},
    ]
    assert render(*conversation, generate=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<b>2 & 2</b><|im_end|>\n"
        "<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\nTool result: ok<|im_end|>\n"
        "<|im_start|>assistant\n<|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("header", "family"),
    [
        (BASE, Family.OTHER),
        (SMOL, Family.SMOLLM2),
        (V31, Family.DEEPSEEK_V31),
        (replace(V31, v31_vocabulary=False), Family.OTHER),  # V3 and R1 have the architecture, not the tokens
        (replace(BASE, v31_vocabulary=True), Family.OTHER),
        (replace(SMOL, chat_template="a fine-tune's own"), Family.OTHER),
    ],
)
def test_families(header: GGUFHeader, family: Family) -> None:
    assert family_of(header) is family


def test_own_templates_win_over_the_files() -> None:
    assert "named SmolLM" not in (template_text(SMOL) or "")
    assert "<｜Assistant｜>" in (template_text(V31) or "")
    assert template_text(BASE) is None


def test_the_users_template_wins(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ mine }}")
    assert template_text(V31, file) == template_text(V31, str(file)) == "{{ mine }}"
    assert template_text(V31, "{{ inline }}") == "{{ inline }}"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        template_text(V31, tmp_path / "none.jinja")


def test_a_base_model_is_refused() -> None:
    with pytest.raises(ModelFileError, match="base model"):
        template_text(replace(BASE, chat_template=None))


def test_profiles() -> None:
    def profile(header: GGUFHeader):
        return profile_for(header, model="m", url="http://127.0.0.1:1", context=512)

    for header in (BASE, SMOL, V31):
        found = profile(header)
        assert (found.name, found.model, found.context) == ("local", "m", 512)
        assert found.base_url == "http://127.0.0.1:1/v1"
    assert profile(SMOL).two_pass is not None
    assert profile(SMOL).tokenizer == "engine"
    assert profile(BASE).two_pass is not None
    assert profile(BASE).default_system is None
    switched = profile(replace(BASE, chat_template="{% if enable_thinking %}<think>{% endif %}"))
    assert switched.two_pass is None
    assert switched.tokenizer == "engine"
    for found, kwargs in ((profile(V31).switch("thinking"), True), (profile(V31).switch("standard"), False)):
        assert found.body == {"chat_template_kwargs": {"thinking": kwargs, "enable_thinking": kwargs}}
    assert profile(V31).tokenizer == "v3.1"
    assert "tools" in profile(V31).standard.features
