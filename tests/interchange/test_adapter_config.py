"""adapter_config.json: what adapters of PEFT add, by its definition, or a refusal that names the key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import make, outputs

import luoxia
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.peft import load_adapter

IDS = torch.randint(0, 50, (2, 21), generator=torch.Generator().manual_seed(5))
ENDS = ("q_proj", "v_proj", "down_proj")


def adapt(model: Any, folder: Path, **config: Any) -> Any:
    """Write an adapter for ``model`` as PEFT does, and add it: W + α/r · B·A, each layer by its own rank and α."""
    given = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": list(ENDS), **config}
    tensors = {}
    draw = torch.Generator().manual_seed(3)

    def of(pattern: str, layer: str, usual: float) -> float:
        found = [v for k, v in given.get(pattern, {}).items() if re.match(rf"(.*\.)?({k})$", layer)]
        return found[0] if found else usual

    for name, layer in model.named_modules():
        if name.endswith(ENDS) and f".{given.get('layers_to_transform', '')}" in name:
            rank, (rows, columns) = int(of("rank_pattern", name, given["r"])), layer.weight.shape
            a, b = (torch.randn(size, generator=draw) * 0.2 for size in ((rank, columns), (rows, rank)))
            tensors |= {f"base_model.model.{name}.lora_{x}.weight": t for x, t in (("A", a), ("B", b))}
            scale = of("alpha_pattern", name, given["lora_alpha"]) / rank
            with torch.no_grad():
                layer.weight.add_(scale * b @ a)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(given))
    return model


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"rank_pattern": {"q_proj": 3}, "alpha_pattern": {"1.self_attn.v_proj": 9.0}},
        {"rank_pattern": {r".*\.0\..*": 1}, "alpha_pattern": {"down_proj": 0.5}},
        {"layers_to_transform": 1, "layers_pattern": "layers"},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False, "fan_in_fan_out": True},
        {"target_modules": r".*\.(q_proj|v_proj|down_proj)", "modules_to_save": [], "megatron_core": "megatron.core"},
    ],
)  # fmt: skip
def test_an_adapter_adds_what_it_adds_there(saved, tmp_path, config):
    base = load_folder(saved("llama"))
    with torch.no_grad():
        plain = base.network(IDS)
    wanted = outputs(adapt(make("llama"), tmp_path / "adapter", **config), IDS)
    load_adapter(base.network, tmp_path / "adapter", base.architecture)
    with torch.no_grad():
        torch.testing.assert_close(base.network(IDS), wanted, atol=1e-4, rtol=0)
    assert (wanted - plain).abs().max() > 0.05


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"init_lora_weights": "pissa"}, "init_lora_weights=pissa"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights=pissa_niter_4"),
        ({"init_lora_weights": "olora"}, "init_lora_weights=olora"),
        ({"init_lora_weights": "corda"}, "init_lora_weights=corda"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens=[1, 2]"),
        ({"use_dora": True}, "use_dora=True"),
        ({"peft_type": "VERA"}, "peft_type=VERA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save=['lm_head']"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices=[1]"),
        ({"target_parameters": ["x"]}, "target_parameters=['x']"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication="),
        ({"bias": "lora_only"}, "bias=lora_only"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"use_qalora": True}, "use_qalora=True"),
        ({"some_variant": {"a": 1}}, "some_variant={'a': 1}"),
        ({"target_modules": ["q_proj", "v_proj"]}, "does not target model.layers.0.mlp.down_proj"),
        ({"exclude_modules": ["v_proj"]}, "does not target model.layers.0.self_attn.v_proj"),
        ({"r": 4}, "the rank 4, and adapter_model.safetensors has one of 2"),
        ({"rank_pattern": {"v_proj": 3}}, "v_proj the rank 3"),
        ({"rank_pattern": {"(": 3}}, "rank_pattern must be"),
        ({"alpha_pattern": [1]}, "alpha_pattern must be"),
        ({"target_modules": 3}, "target_modules must be"),
        ({"target_modules": "("}, "target_modules must be"),
        ({"layers_to_transform": "all"}, "layers_to_transform must be"),
        ({"layers_to_transform": [0], "layers_pattern": "("}, "layers_pattern must be"),
    ],
)
def test_other_adapters_are_refused_by_name(saved, tmp_path, config, told):
    network = load_folder(saved("llama")).network
    adapt(make("llama"), tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    with pytest.raises(LuoxiaError) as caught:
        load_adapter(network, tmp_path / "adapter")
    assert told in str(caught.value) and "adapter" in str(caught.value)


def test_an_adapter_is_given_by_key(saved, tmp_path):
    folder, adapter = saved("llama"), tmp_path / "adapter"
    wanted = outputs(adapt(make("llama"), adapter), IDS)
    model = luoxia.load(folder, adapter=adapter)
    torch.testing.assert_close(model.logits(IDS), wanted, atol=1e-4, rtol=0)
    assert model.details.controls["adapter"] == "adapter"
    with pytest.raises(UsageError, match="holds adapters and no model"):
        luoxia.load(adapter)
    luoxia.export(folder, tmp_path / "whole", adapter=adapter)
    torch.testing.assert_close(luoxia.load(tmp_path / "whole").logits(IDS), wanted, atol=1e-4, rtol=0)
