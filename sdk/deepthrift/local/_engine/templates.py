"""Which chat template a model gets: our own where the model's is known to be wrong for the engine, else the model's."""

from __future__ import annotations

from enum import StrEnum
from importlib import resources
from pathlib import Path

from deepthrift._types.errors import ConfigurationError, ModelFileError
from deepthrift.local._models.gguf import GGUFHeader
from deepthrift_pricing.shared.files import read_text


class Family(StrEnum):
    """Models that need the same prompts and the same way of thinking."""

    DEEPSEEK_V31 = "deepseek-v3.1"
    """One checkpoint with both modes; the vocabulary is V3.1's."""
    SMOLLM2 = "smollm2"
    """No thinking switch: thinking is done in two passes."""
    OTHER = "other"
    """Whatever the model's own template does."""


_TEMPLATES = {Family.DEEPSEEK_V31: "deepseek-v31.jinja", Family.SMOLLM2: "smollm2.jinja"}


def family_of(header: GGUFHeader) -> Family:
    """Tell the family of a model from its header, never from its file name."""
    if header.architecture == "deepseek2" and header.v31_vocabulary:
        return Family.DEEPSEEK_V31
    if header.metadata.get("tokenizer.ggml.pre") == "smollm" and "named SmolLM" in (header.chat_template or ""):
        return Family.SMOLLM2
    return Family.OTHER


def template_text(header: GGUFHeader, chosen: str | Path | None = None) -> str | None:
    """The template to start the engine with, or `None` for the one inside the model file.

    Args:
        header: The model.
        chosen: The user's own: a path of a file, or the text of a Jinja template. It wins over everything else.

    Raises:
        ConfigurationError: The chosen file cannot be read.
        ModelFileError: The model has no template, and none was chosen.
    """
    if chosen is not None:
        return _chosen_text(chosen)
    family = family_of(header)
    name = _TEMPLATES.get(family)
    if name is not None:
        return resources.files("deepthrift.local").joinpath("templates", name).read_text("utf-8")
    if header.chat_template is None:
        raise ModelFileError(
            f"{str(header.path)!r} has no chat template, so it is a base model that cannot hold a conversation: "
            "choose an instruct model, or give a template of your own."
        )
    return None


def is_template_text(chosen: str | Path) -> bool:
    """Whether it is the text of a template, not the path of one."""
    return isinstance(chosen, str) and ("{" in chosen or "\n" in chosen)


def _chosen_text(chosen: str | Path) -> str:
    if is_template_text(chosen):
        return str(chosen)
    try:
        return read_text(chosen).replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The chat template {str(chosen)!r} cannot be read: {error}.") from None
