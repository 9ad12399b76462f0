"""How the client speaks to a model on the embedded engine, told from the model file."""

from __future__ import annotations

from deepthrift.hosts import HostProfile
from deepthrift.local._engine.templates import Family, family_of
from deepthrift.local._models.gguf import GGUFHeader


def profile_for(header: GGUFHeader, *, model: str, url: str, context: int, embeddings: bool = False) -> HostProfile:
    """The host profile of a running engine.

    V3.1 weights have both modes behind one switch, and their prompts are counted here, exactly. Other models are
    counted by the engine; they think by their own switch if their template has one, else in two passes.

    Args:
        header: The model that runs.
        model: Its name in requests.
        url: Where the engine answers, without `/v1`.
        context: Tokens of context of each request.
        embeddings: Whether it was started to make embeddings, too.
    """
    family = family_of(header)
    profile = HostProfile.named("llama.cpp" if family is Family.DEEPSEEK_V31 or has_switch(header) else "local")
    exact = family is Family.DEEPSEEK_V31
    update: dict[str, object] = {
        "name": "local",
        "title": f"Embedded llama.cpp engine, {header.name}",
        "base_url": f"{url}/v1",
        "ports": (),
        "model": model,
        "context": context,
        "extra_tokens_per_message": 0,  # the engine runs our template for V3.1, not llama.cpp's
        "tokenizer": "v3.1" if exact else "engine",
        "exact_prompts": exact,
        "embeddings": embeddings,
        "continues_in_text": exact,
        "prefix_form": "prompt" if exact else "last_message",
    }
    if profile.completions is not None and not exact:
        update["completions"] = profile.completions.model_copy(update={"fim": "none"})
    if exact:
        for mode in ("standard", "thinking"):
            rules = profile.rules(mode)
            update[mode] = rules.model_copy(update={"features": rules.features | {"prefix"}})
    if family is Family.OTHER:
        update["default_system"] = None
    return profile.model_copy(update=update)


def has_switch(header: GGUFHeader) -> bool:
    """Whether the model's own chat template has a thinking switch."""
    return family_of(header) is Family.OTHER and "thinking" in (header.chat_template or "")
