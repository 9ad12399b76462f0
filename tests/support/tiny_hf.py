"""The tiny model of `tiny_gguf.py` in its native form: the folder that vLLM, SGLang and transformers load.

`config.json`, `model.safetensors` and V3.1's own tokenizer files, with the same scripts, but with the one shape of
latent attention that vLLM's kernels for processors take: V3.1's own 512 + 64. About 80 MB, written in a few seconds.

    python -m tests.support.tiny_hf FOLDER --script answer
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from tests.support import v31_reference
from tests.support.tiny_gguf import (
    CONSTANT,
    CONTEXT,
    DENSE_LAYERS,
    EXPERT_FEED_FORWARD,
    EXPERTS,
    FEED_FORWARD,
    HEADS,
    IS_THINK,
    LAYERS,
    ROWS,
    SEEN_THINK,
    WIDTH,
    Floats,
    Script,
    embedding_rows,
    output_rows,
)

QUERY_RANK: Final = 32
KEY_RANK: Final = 512
ROPE: Final = 64
NOPE = VALUE = 128
CONFIG: Final[dict[str, Any]] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "torch_dtype": "float32",
    "vocab_size": ROWS,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_nextn_predict_layers": 0,
    "first_k_dense_replace": DENSE_LAYERS,
    "intermediate_size": FEED_FORWARD,
    "moe_intermediate_size": EXPERT_FEED_FORWARD,
    "moe_layer_freq": 1,
    "n_routed_experts": EXPERTS,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 4,
    "topk_group": 2,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "q_lora_rank": QUERY_RANK,
    "kv_lora_rank": KEY_RANK,
    "qk_rope_head_dim": ROPE,
    "qk_nope_head_dim": NOPE,
    "v_head_dim": VALUE,
    "attention_bias": False,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": CONTEXT,
    "rope_theta": 10_000,
    "rope_scaling": {
        "type": "yarn",
        "factor": 40,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def build_tiny_hf(folder: Path, script: Script = "answer") -> Path:
    """Write the model into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    (folder / "tokenizer.json").write_bytes(v31_reference.tokenizer_json())
    (folder / "tokenizer_config.json").write_bytes(v31_reference.tokenizer_config())
    _write_safetensors(folder / "model.safetensors", _tensors(script))
    return folder


def _tensors(script: Script) -> dict[str, Floats]:
    random = np.random.default_rng(2)

    def small(*shape: int) -> Floats:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(0.1 / np.sqrt(shape[-1]))

    def ones(size: int) -> Floats:
        return np.ones(size, np.float32)

    found = {
        "model.embed_tokens.weight": embedding_rows(),
        "lm_head.weight": output_rows(script),
        "model.norm.weight": ones(WIDTH),
    }
    for layer in range(LAYERS):
        head = f"model.layers.{layer}"
        found[f"{head}.input_layernorm.weight"] = ones(WIDTH)
        found[f"{head}.post_attention_layernorm.weight"] = ones(WIDTH)
        shapes = {
            "q_a_proj": (QUERY_RANK, WIDTH),
            "q_b_proj": (HEADS * (NOPE + ROPE), QUERY_RANK),
            "kv_a_proj_with_mqa": (KEY_RANK + ROPE, WIDTH),
            "kv_b_proj": (HEADS * (NOPE + VALUE), KEY_RANK),
            "o_proj": (WIDTH, HEADS * VALUE),
        }
        attention = {name: small(*shape) if layer else np.zeros(shape, np.float32) for name, shape in shapes.items()}
        if layer == 0:
            _detect_think(attention)
        attention |= {"q_a_layernorm": ones(QUERY_RANK), "kv_a_layernorm": ones(KEY_RANK)}
        found |= {f"{head}.self_attn.{name}.weight": values for name, values in attention.items()}
        inner = {"mlp": FEED_FORWARD}
        if layer >= DENSE_LAYERS:
            inner = {"mlp.shared_experts": EXPERT_FEED_FORWARD}
            inner |= {f"mlp.experts.{number}": EXPERT_FEED_FORWARD for number in range(EXPERTS)}
            found[f"{head}.mlp.gate.weight"] = small(EXPERTS, WIDTH)
            found[f"{head}.mlp.gate.e_score_correction_bias"] = small(EXPERTS)
        for part, size in inner.items():
            found[f"{head}.{part}.gate_proj.weight"] = small(size, WIDTH)
            found[f"{head}.{part}.up_proj.weight"] = small(size, WIDTH)
            found[f"{head}.{part}.down_proj.weight"] = small(WIDTH, size)
    return found


def _detect_think(attention: dict[str, Floats]) -> None:
    """As in `tiny_gguf.py`: the first head finds `<think>` anywhere in the context and adds 1 to SEEN_THINK."""
    attention["q_a_proj"][0, CONSTANT] = 1
    attention["q_b_proj"][0, 0] = 1
    attention["kv_a_proj_with_mqa"][0, IS_THINK] = 10
    attention["kv_a_proj_with_mqa"][1, CONSTANT] = 1
    attention["kv_b_proj"][0, 0] = 10
    attention["kv_b_proj"][NOPE, 0] = 1
    attention["o_proj"][SEEN_THINK, 0] = 1 / np.sqrt(KEY_RANK)


def _write_safetensors(path: Path, tensors: dict[str, Floats]) -> None:
    """The format is a length, a JSON header of types, shapes and offsets, and the numbers, little-endian."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [place, place + values.nbytes]}
        place += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(np.ascontiguousarray(values, "<f4").tobytes())


def main() -> None:
    """Build a model from the command line."""
    parser = argparse.ArgumentParser(description="Build the tiny V3.1 model as a Hugging Face folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--script", choices=get_args(Script), default="answer")
    arguments = parser.parse_args()
    build_tiny_hf(arguments.folder, arguments.script)


if __name__ == "__main__":
    main()
