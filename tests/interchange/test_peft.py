"""Adapters in PEFT's layout, applied to the public toolkit's own model by its definition."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make, outputs, shift_adapters

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.peft import load_adapter, save_adapter
from luoxia.nn.lora import adapters, add_lora, fold

IDS = torch.randint(0, 50, (3, 21), generator=torch.Generator().manual_seed(6))
NAMES = ["gpt2", "llama grouped, tied, biased", "qwen3", "bert"]


def apply_adapter(model, folder):
    """W + scale · B·A for each module that the adapter names: what PEFT computes, written from its definition."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    rank = math.sqrt(config["r"]) if config.get("use_rslora") else config["r"]
    modules = {name.removeprefix("base_model.model.").split(".lora_")[0] for name in tensors}
    with torch.no_grad():
        for name in modules:
            a, b = (tensors[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
            change = config["lora_alpha"] / rank * b @ a
            model.get_submodule(name).weight.add_(change.T if config["fan_in_fan_out"] else change)
    return model, modules, config


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("targets", [None, ["qkv", "down"]])
def test_saved_adapters_mean_the_same_there(saved, tmp_path, name, targets):
    network = load_folder(saved(name)).network
    layers = add_lora(network, rank=3, alpha=5.0, targets=targets)
    shift_adapters(network)
    with torch.no_grad():
        ours = network(IDS)
    folder = save_adapter(network, tmp_path / "adapter", base="somewhere/base")
    plain = outputs(make(name), IDS)
    model, modules, config = apply_adapter(make(name), folder)
    torch.testing.assert_close(ours, outputs(model, IDS), atol=1e-4, rtol=0)
    assert (ours - plain).abs().max() > 0.1
    assert config["base_model_name_or_path"] == "somewhere/base" and config["r"] == 3
    matched = {  # PEFT's rule: the name itself, or its end
        n
        for n, _ in model.named_modules()
        if any(n == t or n.endswith(f".{t}") for t in config["target_modules"])
    }
    assert matched == modules

    again = load_folder(tmp_path / "model").network
    assert load_adapter(again, folder) == layers
    with torch.no_grad():
        torch.testing.assert_close(again(IDS), ours, atol=1e-6, rtol=0)
    for (_, first), (_, second) in zip(adapters(network), adapters(again), strict=True):
        assert torch.equal(first.a, second.a) and torch.equal(first.b, second.b)


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("stabilized", [False, True])
def test_adapters_made_there_mean_the_same_here(saved, tmp_path, name, stabilized):
    base = saved(name)
    ends = ("q_proj", "v_proj", "down_proj") if name == "llama" else ("query", "value", "intermediate.dense")
    tensors = {}
    for module, layer in make(name).named_modules():
        if module.endswith(ends):
            rows, columns = layer.weight.shape
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(2, columns) * 0.2
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(rows, 2) * 0.2
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "use_rslora": stabilized, "fan_in_fan_out": False}
    (folder / "adapter_config.json").write_text(
        json.dumps({**config, "bias": "none", "modules_to_save": None})
    )
    network = load_folder(base).network
    load_adapter(network, folder)
    model, _, _ = apply_adapter(make(name), folder)
    expected = outputs(model, IDS)
    assert {p.requires_grad for n, p in network.named_parameters() if n.endswith((".a", ".b"))} == {True}
    with torch.no_grad():
        torch.testing.assert_close(network(IDS), expected, atol=1e-4, rtol=0)
    second = save_adapter(network, tmp_path / "second")  # ranks of 4 and 2
    model, _, _ = apply_adapter(make(name), second)
    torch.testing.assert_close(outputs(model, IDS), expected, atol=1e-4, rtol=0)
    fold(network)
    with torch.no_grad():
        torch.testing.assert_close(network(IDS), expected, atol=1e-4, rtol=0)


def test_adapters_that_do_not_fit(saved, tmp_path):
    base = saved("llama")
    network = load_folder(base).network
    add_lora(network, rank=2, targets=["qkv"])
    folder = save_adapter(network, tmp_path / "adapter")
    with pytest.raises(UsageError, match="already"):
        load_adapter(network, folder)
    with pytest.raises(UsageError, match="already exists"):
        save_adapter(network, folder)
    file = folder / "adapter_model.safetensors"
    good = load_file(file)
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    cases = {
        "does not have: base_model.model.x.lora_A": {
            **good,
            "base_model.model.x.lora_A.weight": torch.zeros(2, 2),
        },
        "do not fit a layer of 24 inputs and 24 outputs": {**good, first: torch.zeros(2, 23)},
        "does not have: base_model.model.model.layers.0.self_attn.q_proj.lora_B": {
            name: tensor for name, tensor in good.items() if name != first
        },
    }
    for word, tensors in cases.items():
        save_file(tensors, file)
        network = load_folder(base).network
        with pytest.raises(LuoxiaError, match=word):
            load_adapter(network, folder)
        assert not list(adapters(network)) and all(p.requires_grad for p in network.parameters())
    file.unlink()
    with pytest.raises(UsageError, match="holds no adapter_model"):
        load_adapter(network, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(LuoxiaError, match="use_dora=True is not supported"):
        load_adapter(network, folder)


def test_networks_without_adapters_have_none_to_save(saved, tmp_path):
    with pytest.raises(UsageError, match="no LoRA adapters"):
        save_adapter(load_folder(saved("llama")).network, tmp_path / "adapter")
