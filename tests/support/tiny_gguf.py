"""A 24 MB model in V3.1's real architecture with V3.1's real vocabulary, built in seconds and without a download.

Every operation of the architecture runs: latent attention, gated experts in groups, a shared expert, YaRN. What the
model says is a script: the output row of each token of the script answers to the embedding of the token before it, so
that decoding walks the script, whatever was asked. The other weights are random and too small to matter, but for the
first attention, which tells whether `<think>` is in the context: so the two modes can give different answers.

    python -m tests.support.tiny_gguf tiny.gguf --script answer
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, resources
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import gguf
import numpy as np
import numpy.typing as npt

from deepthrift_pricing.tokens import SPECIAL_TOKENS, encode, vocabulary

Script: TypeAlias = Literal["answer", "tool", "unsure", "random"]
"""`answer`: each mode gives an answer of its own. `tool`: a tool call, then an answer to its result. `unsure`: standard
answers differ from sample to sample at a temperature above 0, thinking is sure. `random`: noise until `max_tokens`."""

THOUGHTS: Final = "\nLet me check this carefully: first note what was asked, then work it out slowly;"
STANDARD_ANSWER: Final = "Here is one short scripted answer."
THINKING_ANSWER: Final = "After some thought I would say forty-two."
TOOL_NAME: Final = "get_weather"
TOOL_ARGUMENTS: Final = '{"city":"Paris"}'
TOOL_ANSWER: Final = "It will be sunny today."
UNSURE_STANDARD: Final = ("The answer is 41.", "The answer is 43.")
UNSURE_THINKING: Final = "The answer is 42."

Floats: TypeAlias = npt.NDArray[np.float32]

ROWS: Final = 129_280
CONTEXT: Final = 163_840
WIDTH, LAYERS, DENSE_LAYERS, HEADS = 64, 3, 1, 4
QUERY_RANK = KEY_RANK = NOPE = VALUE = 32
ROPE, EXPERTS, FEED_FORWARD, EXPERT_FEED_FORWARD = 16, 8, 128, 64
SEEN_THINK, CONSTANT, IS_THINK = 61, 62, 63
"""The dimensions of the residual stream that mean something; the rest of an embedding is random, of length 1."""
SURE, LIKELY, THINKING = 12.0, 9.0, 6.0
"""Logits: LIKELY loses to SURE and wins with THINKING, and THINKING alone stays well below SURE."""

END: Final = "<｜end▁of▁sentence｜>"


@dataclass(frozen=True, slots=True)
class Step:
    """After `token` comes `then`: always, or instead of what else would come, while thinking."""

    token: int
    then: int
    thinking: bool = False


def path_through(*parts: str | list[int], thinking: bool = False) -> list[Step]:
    """Steps from token to token; a string is one special token. `thinking` marks the first step."""
    ids = [i for part in parts for i in ([SPECIAL_TOKENS[part]] if isinstance(part, str) else part)]
    return [Step(a, b, thinking and place == 0) for place, (a, b) in enumerate(pairwise(ids))]


def script_steps(script: Script) -> list[Step]:
    """What the model of a script says, as steps; a token has one way on, or several that are equally likely.

    Raises:
        ValueError: A text of the script uses a token twice, so that the model would walk in a circle.
    """
    if script == "random":
        return []
    steps = path_through("<think>", encode(THOUGHTS), "</think>")
    if script == "answer":
        steps += path_through("</think>", encode(STANDARD_ANSWER), END)
        steps += path_through("</think>", encode(THINKING_ANSWER), END, thinking=True)
    elif script == "tool":
        begin: list[str | list[int]] = [
            "</think>",
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁call▁begin｜>",
            encode(TOOL_NAME),
        ]
        end: list[str | list[int]] = [encode(TOOL_ARGUMENTS), "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", END]
        steps += path_through(*begin, "<｜tool▁sep｜>", *end)
        steps += path_through("<｜tool▁output▁end｜>", encode(TOOL_ANSWER), END)
    else:
        for text in UNSURE_STANDARD:
            steps += path_through("</think>", encode(text), END)
        sure, unsure = encode(UNSURE_THINKING), encode(UNSURE_STANDARD[0])
        fork = next(place for place, (a, b) in enumerate(zip(sure, unsure, strict=True)) if a != b)
        steps += path_through(sure[fork - 1 :], END, thinking=True)
    steps = list(dict.fromkeys(steps))
    ways = [step.token for step in steps if not step.thinking]
    twice = {token for token in ways if ways.count(token) > (2 if script == "unsure" else 1)}
    if twice:
        raise ValueError(f"the script {script!r} uses the tokens {sorted(twice)} twice")
    return steps


def build_tiny_gguf(path: Path, script: Script = "answer") -> Path:
    """Write the model to `path`, whole or not at all. Takes about 3 s of CPU."""
    with _whole_or_not(path) as part:
        writer = gguf.GGUFWriter(part, "deepseek2")
        try:
            _add_architecture(writer)
            _add_tokenizer(writer)
            _add_tensors(writer, script)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
    return path


def tiny_gguf(script: Script = "answer") -> Path:
    """The model of a script, made when it is not in the cache of this user yet, or when its recipe has changed."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + chat_template().encode())
    recipe.update(metadata.version("gguf").encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepthrift-tests"
    home.mkdir(parents=True, exist_ok=True)
    name = f"tiny-v31-{recipe.hexdigest()[:16]}-{{}}.gguf"
    path = home / name.format(script)
    if path.exists():
        return path
    for other in get_args(Script):
        if (home / name.format(other)).exists():
            return _reword(home / name.format(other), path, script)
    return build_tiny_gguf(path, script)


def _reword(model: Path, path: Path, script: Script) -> Path:
    """Write a model with another script: all that differs is the last tensor of the file, the output rows."""
    output = _pack(output_rows(script)).tobytes()
    with _whole_or_not(path) as part:
        part.write_bytes(model.read_bytes()[: -len(output)] + output)
    return path


@contextmanager
def _whole_or_not(path: Path) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def chat_template() -> str:
    """The engine's chat template for V3.1 weights."""
    return (resources.files("deepthrift") / "local/templates/deepseek-v31.jinja").read_text("utf-8")


def _add_architecture(writer: gguf.GGUFWriter) -> None:
    writer.add_name("Tiny V3.1")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_leading_dense_block_count(DENSE_LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(ROWS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_q_lora_rank(QUERY_RANK)
    writer.add_kv_lora_rank(KEY_RANK)
    writer.add_key_length(KEY_RANK + ROPE)
    writer.add_value_length(KEY_RANK)
    writer.add_key_length_mla(NOPE + ROPE)
    writer.add_value_length_mla(VALUE)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(2)
    writer.add_expert_shared_count(1)
    writer.add_expert_feed_forward_length(EXPERT_FEED_FORWARD)
    writer.add_expert_group_count(4)
    writer.add_expert_group_used_count(2)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_expert_weights_scale(2.5)
    writer.add_expert_weights_norm(True)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(ROPE)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(40.0)
    writer.add_rope_scaling_orig_ctx_len(4096)
    writer.add_rope_scaling_yarn_log_mul(0.1)


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    words = vocabulary()
    shown = _byte_characters()
    tokens = [f"[PAD{i}]" for i in range(ROWS)]
    kinds = [gguf.TokenType.UNUSED] * ROWS
    for token_id in words.ranks().values():
        tokens[token_id] = _spell(words.token_bytes(token_id), shown)
        kinds[token_id] = gguf.TokenType.NORMAL
    control = {"<｜begin▁of▁sentence｜>", END, "<｜▁pad▁｜>", "<|EOT|>"}
    for text, token_id in words.special.items():
        tokens[token_id] = text
        is_control = text in control or "place▁holder" in text
        kinds[token_id] = gguf.TokenType.CONTROL if is_control else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-v3")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{_spell(left, shown)} {_spell(right, shown)}" for left, right in words.merges()])
    writer.add_bos_token_id(SPECIAL_TOKENS["<｜begin▁of▁sentence｜>"])
    writer.add_eos_token_id(SPECIAL_TOKENS[END])
    writer.add_pad_token_id(SPECIAL_TOKENS[END])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(chat_template())


def _byte_characters() -> dict[int, int]:
    """Byte-level BPE spells bytes as printable characters; the others are moved up by 256 and more, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return {byte: 256 + place for place, byte in enumerate(b for b in range(256) if b not in printable)}


def _spell(token: bytes, shown: Mapping[int, int]) -> str:
    return token.decode("latin-1").translate(shown)


def _add_tensors(writer: gguf.GGUFWriter, script: Script) -> None:
    random = np.random.default_rng(2)

    def small(*shape: int) -> Floats:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def add(name: str, values: Floats) -> None:
        writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))

    writer.add_tensor("token_embd.weight", _pack(embedding_rows()), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    add("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        attention = _think_detector() if layer == 0 else _idle_attention(small)
        for name, values in attention.items():
            add(f"blk.{layer}.{name}.weight", values)
        for name, size in (("attn_norm", WIDTH), ("attn_q_a_norm", QUERY_RANK), ("attn_kv_a_norm", KEY_RANK)):
            add(f"blk.{layer}.{name}.weight", np.ones(size, np.float32))
        add(f"blk.{layer}.ffn_norm.weight", np.ones(WIDTH, np.float32))
        if layer < DENSE_LAYERS:
            shapes: dict[str, tuple[int, ...]] = {"": (FEED_FORWARD,)}
        else:
            shapes = {"_exps": (EXPERTS, EXPERT_FEED_FORWARD), "_shexp": (EXPERT_FEED_FORWARD,)}
            add(f"blk.{layer}.ffn_gate_inp.weight", small(EXPERTS, WIDTH))
            add(f"blk.{layer}.exp_probs_b.bias", small(EXPERTS))
        for suffix, (*experts, inner) in shapes.items():
            add(f"blk.{layer}.ffn_gate{suffix}.weight", small(*experts, inner, WIDTH))
            add(f"blk.{layer}.ffn_up{suffix}.weight", small(*experts, inner, WIDTH))
            add(f"blk.{layer}.ffn_down{suffix}.weight", small(*experts, WIDTH, inner))
    output = _pack(output_rows(script))
    writer.add_tensor("output.weight", output, raw_dtype=gguf.GGMLQuantizationType.Q8_0)


def _pack(values: Floats) -> npt.NDArray[np.uint8]:
    packed: npt.NDArray[np.uint8] = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    return packed


def embedding_rows() -> Floats:
    """The embedding of every token."""
    table = np.random.default_rng(0).standard_normal((ROWS, WIDTH), dtype=np.float32)
    table[:, SEEN_THINK:] = 0
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    table[:, CONSTANT] = 0.5
    table[SPECIAL_TOKENS["<think>"], IS_THINK] = 1
    return table


def output_rows(script: Script) -> Floats:
    """The output row of every token: it answers to the embedding of the token before it in the script."""
    if script == "random":
        return np.random.default_rng(1).standard_normal((ROWS, WIDTH), dtype=np.float32)
    embedding, table = embedding_rows(), np.zeros((ROWS, WIDTH), np.float32)
    for step in script_steps(script):
        table[step.then, :SEEN_THINK] += (LIKELY if step.thinking else SURE) * embedding[step.token, :SEEN_THINK]
        if step.thinking:
            table[step.then, SEEN_THINK] += THINKING
    return table


def _think_detector() -> dict[str, Floats]:
    """Attention that finds `<think>` anywhere in the context and then adds 1 to SEEN_THINK.

    Queries are constant. A compressed key is (a lot, little) at `<think>` and, as it is normed, (0, √32) elsewhere: the
    first number is the key's match and the value.
    """
    size = np.sqrt(KEY_RANK)
    weights = _idle_attention(lambda *shape: np.zeros(shape, np.float32))
    weights["attn_q_a"][0, CONSTANT] = 1
    weights["attn_q_b"][0, 0] = 1
    weights["attn_kv_a_mqa"][0, IS_THINK] = 10
    weights["attn_kv_a_mqa"][1, CONSTANT] = 1
    weights["attn_k_b"][0, 0, 0] = 10
    weights["attn_v_b"][0, 0, 0] = 1
    weights["attn_output"][SEEN_THINK, 0] = 1 / size
    return weights


def _idle_attention(make: Callable[..., Floats]) -> dict[str, Floats]:
    return {
        "attn_q_a": make(QUERY_RANK, WIDTH),
        "attn_q_b": make(HEADS * (NOPE + ROPE), QUERY_RANK),
        "attn_kv_a_mqa": make(KEY_RANK + ROPE, WIDTH),
        "attn_k_b": make(HEADS, KEY_RANK, NOPE),
        "attn_v_b": make(HEADS, VALUE, KEY_RANK),
        "attn_output": make(WIDTH, HEADS * VALUE),
    }


def main() -> None:
    """Build a model from the command line."""
    parser = argparse.ArgumentParser(description="Build the tiny V3.1 model.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--script", choices=get_args(Script), default="answer")
    arguments = parser.parse_args()
    build_tiny_gguf(arguments.path, arguments.script)


if __name__ == "__main__":
    main()
