"""The tiny model in its native form: what vLLM, SGLang and transformers read of it."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from tests.support.tiny_hf import CONFIG, build_tiny_hf


@pytest.mark.slow
def test_the_folder_holds_what_a_loader_reads(tmp_path: Path) -> None:
    folder = build_tiny_hf(tmp_path / "model", "answer")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (config["architectures"], config["kv_lora_rank"] + config["qk_rope_head_dim"]) == (
        ["DeepseekV3ForCausalLM"],
        576,
    )
    with (folder / "model.safetensors").open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__")
    place = 0
    for tensor in header.values():
        assert tensor["data_offsets"] == [place, place + 4 * prod(tensor["shape"])]
        place = tensor["data_offsets"][1]
    assert (folder / "model.safetensors").stat().st_size == 8 + size + place
    experts = {name for name in header if ".mlp.experts." in name}
    assert len(experts) == 3 * CONFIG["n_routed_experts"] * (CONFIG["num_hidden_layers"] - 1)
    assert header["lm_head.weight"]["shape"] == [CONFIG["vocab_size"], CONFIG["hidden_size"]]
    assert "chat_template" in json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
