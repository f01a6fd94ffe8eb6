"""The same logits as the public toolkit's, both ways, for every family and many shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import MODELS, make, outputs, shift_adapters, transformers

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.saving import save_folder
from luoxia.nn.int8 import quantize
from luoxia.nn.lora import adapters, add_lora
from luoxia.nn.transformer import Decoder, Encoder, TransformerConfig

IDS = torch.randint(0, 50, (3, 21), generator=torch.Generator().manual_seed(5))


def open_again(folder: Path, **settings: Any) -> Any:
    kind = transformers.AutoModel if "bert" in settings.pop("name", "") else transformers.AutoModelForCausalLM
    model, told = kind.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", **settings
    )
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_equal_logits_both_ways(name, tmp_path):
    model = make(name)
    reference = outputs(model, IDS)
    model.save_pretrained(tmp_path / "theirs")
    loaded = load_folder(tmp_path / "theirs")
    assert loaded.architecture == model.config.model_type and not loaded.network.training
    with torch.no_grad():
        ours = loaded.network(IDS)
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, reference, atol=1e-4, rtol=0)

    save_folder(loaded.network, tmp_path / "ours", like=loaded)
    again = open_again(tmp_path / "ours", name=name)
    torch.testing.assert_close(outputs(again, IDS), reference, atol=1e-5, rtol=0)
    ours_again = load_folder(tmp_path / "ours")
    for key, tensor in loaded.network.state_dict().items():
        assert torch.equal(ours_again.network.state_dict()[key], tensor), key
    assert ours_again.transformer == loaded.transformer


def test_fresh_networks_open_there(tmp_path):
    common = {"width": 24, "layers": 2, "heads": 4, "context": 32}
    shapes = {
        "gpt2": TransformerConfig(
            61, **common, norm="layer", positions="learned", activation="gelu_tanh", bias=True, tied=False
        ),
        "llama": TransformerConfig(61, **common, kv_heads=2, activation="swiglu", hidden=40),
        "qwen2": TransformerConfig(61, **common, activation="swiglu", qkv_bias=True),
        "qwen3": TransformerConfig(61, **common, activation="swiglu", qk_norm=True, head_width=10),
        "mistral": TransformerConfig(61, **common, activation="swiglu", window=6),
    }
    for expected, shape in shapes.items():
        torch.manual_seed(1)
        network = Decoder(shape).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        folder = save_folder(network, tmp_path / expected)
        assert json.loads((folder / "config.json").read_text())["model_type"] == expected
        with torch.no_grad():
            torch.testing.assert_close(outputs(open_again(folder), IDS), network(IDS), atol=1e-4, rtol=0)


def test_fresh_encoder_opens_there(tmp_path):
    shape = TransformerConfig(
        61,
        width=24,
        layers=2,
        heads=4,
        context=32,
        norm="layer",
        norm_first=False,
        positions="learned",
        bias=True,
        embedding_norm=True,
        token_types=2,
        tied=False,
    )
    network = Encoder(shape).eval()
    folder = save_folder(network, tmp_path / "encoder")
    model = open_again(folder, name="bert", add_pooling_layer=False)
    with torch.no_grad():
        torch.testing.assert_close(outputs(model, IDS), network(IDS), atol=1e-5, rtol=0)


def test_padded_and_segmented_bert(tmp_path):
    model = make("bert")
    model.save_pretrained(tmp_path)
    mask = torch.arange(21) < torch.tensor([[21], [9], [14]])
    types = (torch.arange(21) > 4).long().expand(3, -1)
    reference = outputs(model, IDS, attention_mask=mask.long(), token_type_ids=types)
    with torch.no_grad():
        ours = load_folder(tmp_path).network(IDS, mask, types)
    torch.testing.assert_close(ours[mask], reference[mask], atol=1e-4, rtol=0)


def test_bert_keeps_its_pooler(tmp_path):
    model = make("bert")
    model.save_pretrained(tmp_path / "theirs")
    loaded = load_folder(tmp_path / "theirs")
    assert sorted(loaded.kept) == ["pooler.dense.bias", "pooler.dense.weight"]
    again = open_again(save_folder(loaded.network, tmp_path / "ours", like=loaded), name="bert")
    assert torch.equal(again.pooler.dense.weight, model.pooler.dense.weight)


def test_bert_of_other_tasks_and_ages(tmp_path):
    torch.manual_seed(3)
    config = transformers.BertConfig(**MODELS["bert"][1])
    model = transformers.BertForMaskedLM(config).eval()
    model.save_pretrained(tmp_path)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = load_folder(tmp_path)
    assert any(name.startswith("cls.") for name in old)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(IDS), outputs(model.bert, IDS), atol=1e-4, rtol=0)


def test_older_folders_of_gpt2(saved):
    folder = saved("gpt2")
    tensors = {n.removeprefix("transformer."): t for n, t in load_file(folder / "model.safetensors").items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 48, 48)
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_folder(folder)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(IDS), outputs(make("gpt2"), IDS), atol=1e-4, rtol=0)


def test_older_keys_of_rope(saved):
    folder = saved("llama 3 rope")
    config = json.loads((folder / "config.json").read_text())
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    scaling["type"] = scaling.pop("rope_type")
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": scaling}))
    with torch.no_grad():
        ours = load_folder(folder).network(IDS)
    torch.testing.assert_close(ours, outputs(make("llama 3 rope"), IDS), atol=1e-4, rtol=0)


def test_shards_both_ways(tmp_path):
    model = make("llama")
    model.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 2
    loaded = load_folder(tmp_path / "theirs")
    folder = save_folder(loaded.network, tmp_path / "ours", shard=20_000)
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 2 and all(f.stat().st_size < 25_000 for f in files)
    torch.testing.assert_close(outputs(open_again(folder), IDS), outputs(model, IDS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_saved_types(saved, tmp_path, dtype):
    loaded = load_folder(saved("qwen3"))
    folder = save_folder(loaded.network, tmp_path / "short", like=loaded, dtype=dtype)
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == dtype
    stored = load_file(folder / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {getattr(torch, dtype)}
    short = load_folder(folder, dtype=None).network
    assert short.embedding.tokens.weight.dtype == getattr(torch, dtype)
    expected = loaded.network.state_dict()["stack.layers.1.attention.qkv.weight"].to(getattr(torch, dtype))
    assert torch.equal(short.state_dict()["stack.layers.1.attention.qkv.weight"], expected)
    assert load_folder(folder).network.embedding.tokens.weight.dtype == torch.float32


def test_ids_of_special_tokens_are_kept(saved, tmp_path):
    loaded = load_folder(saved("llama", bos_token_id=7, eos_token_id=[3, 4], pad_token_id=None))
    folder = save_folder(loaded.network, tmp_path / "ours", like=loaded)
    config = json.loads((folder / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (7, [3, 4], None)


def test_shapes_that_no_family_has(tmp_path):
    with pytest.raises(UsageError, match="cannot be saved as a Hugging Face folder"):
        save_folder(
            Decoder(TransformerConfig(20, width=8, layers=1, heads=2, activation="relu2")), tmp_path / "a"
        )
    llama = Decoder(TransformerConfig(20, width=8, layers=1, heads=2, activation="swiglu"))
    with pytest.raises(UsageError, match="none of the architectures that gpt2 has"):
        save_folder(llama, tmp_path / "a", "gpt2")
    with pytest.raises(UsageError, match="unknown architecture 'gpt5'"):
        save_folder(llama, tmp_path / "a", "gpt5")
    with pytest.raises(UsageError, match="unknown dtype 'int4'"):
        save_folder(llama, tmp_path / "a", dtype="int4")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "a").mkdir()
    llama = Decoder(TransformerConfig(20, width=8, layers=1, heads=2, activation="swiglu"))
    save_folder(llama, tmp_path / "a")  # empty: fine
    before = (tmp_path / "a" / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        save_folder(Decoder(llama.config), tmp_path / "a")
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_adapters_are_merged_in_what_is_saved(saved, tmp_path):
    network = load_folder(saved("gpt2")).network
    names = add_lora(network, rank=2)
    shift_adapters(network)
    with torch.no_grad():
        expected = network(IDS)
    model = open_again(save_folder(network, tmp_path / "ours"))
    torch.testing.assert_close(outputs(model, IDS), expected, atol=1e-4, rtol=0)
    assert [name for name, _ in adapters(network)] == names


def test_weights_of_8_bits_are_refused(saved, tmp_path):
    network = load_folder(saved("llama")).network
    with pytest.raises(UsageError, match="before its weights are made of 8 bits"):
        save_folder(quantize(network), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_folder_that_cannot_be_written(saved, tmp_path):
    network = load_folder(saved("llama")).network
    (tmp_path / "file").write_text("x")
    with pytest.raises(LuoxiaError, match="cannot write"):
        save_folder(network, tmp_path / "file" / "ours")
    with pytest.raises(UsageError, match="already exists"):
        save_folder(network, tmp_path / "file")


def test_trained_here_and_loaded_for_training(saved):
    network = load_folder(saved("qwen2")).network.train()
    network(IDS).square().mean().backward()
    assert all(p.grad is not None and p.requires_grad for p in network.parameters())
