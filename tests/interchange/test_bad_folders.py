"""Folders that are wrong, damaged or hostile: one sentence each, and no memory taken for them."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.tensors import read_header


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def refused(folder, kind, *words):
    with pytest.raises(LuoxiaError) as caught:
        load_folder(folder)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    for word in words:
        assert word in message, message


def test_unknown_architecture(saved):
    folder = saved("llama")
    for kind in ("mamba", None, 3, ["llama"]):
        edit_config(folder, model_type=kind)
        refused(
            folder, UsageError, "architecture", "not supported", "gpt2, llama, qwen2, qwen3, mistral, bert"
        )


def test_no_config(tmp_path):
    refused(tmp_path, UsageError, "holds no config.json")
    refused(tmp_path / "nowhere", UsageError, "holds no config.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"model_type":', b"\xff\xfe", b"[" * 100_000])
def test_damaged_config(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    refused(tmp_path, LuoxiaError, "config.json")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("hidden_size", None, "hidden_size must be a whole number"),
        ("hidden_size", "24", "hidden_size must be a whole number"),
        ("num_hidden_layers", True, "num_hidden_layers must be"),
        ("num_hidden_layers", 0, "num_hidden_layers must be"),
        ("num_hidden_layers", 10**9, "speaks of 1,000,000,000 layers"),
        ("max_position_embeddings", 10**12, "max_position_embeddings must be"),
        ("num_key_value_heads", 3, "kv_heads=3"),
        ("head_dim", 7, "even head width"),
        ("rms_norm_eps", float("inf"), "rms_norm_eps must be a positive number"),
        ("rms_norm_eps", -1, "rms_norm_eps must be a positive number"),
        ("hidden_act", "gelu", "hidden_act=gelu is not supported"),
        ("attention_dropout", 2, "attention_dropout must be"),
        ("tie_word_embeddings", "yes", "tie_word_embeddings must be true or false"),
        ("rope_parameters", {"rope_type": "yarn", "factor": 2.0}, "rope scaling of the kind 'yarn'"),
        ("rope_parameters", {"rope_type": "linear"}, "factor must be a positive number"),
        ("rope_parameters", [1], "rope_parameters must be an object"),
        ("rope_parameters", {"rope_theta": 1e4, "partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ("quantization_config", {"quant_method": "gptq"}, "quantized weights"),
    ],
)
def test_settings_that_cannot_be(saved, key, value, word):
    folder = saved("llama")
    edit_config(folder, **{key: value})
    refused(folder, UsageError if key == "quantization_config" else LuoxiaError, "config.json", word)


def test_settings_of_other_families(saved):
    folder = saved("gpt2")
    edit_config(folder, scale_attn_by_inverse_layer_idx=True)
    refused(folder, LuoxiaError, "scale_attn_by_inverse_layer_idx=True is not supported")


def test_windows_of_some_layers(saved):
    folder = saved("qwen2")
    edit_config(folder, use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=None)
    refused(folder, LuoxiaError, "max_window_layers=1 is not supported")


def test_missing_tensors(saved):
    folder = saved("llama")
    edit_tensors(folder, lambda t: t.pop("model.layers.1.self_attn.k_proj.weight"))
    refused(folder, LuoxiaError, "lacks", "layers.1.self_attn.k_proj.weight")


def test_extra_tensors(saved):
    folder = saved("llama")
    edit_tensors(folder, lambda t: t.update({"model.layers.2.self_attn.k_proj.weight": torch.zeros(2)}))
    refused(folder, LuoxiaError, "beyond", "layers.2.self_attn.k_proj.weight")


def test_misshapen_tensors(saved):
    folder = saved("llama")
    edit_config(folder, intermediate_size=41)
    refused(
        folder,
        LuoxiaError,
        "another shape",
        "mlp.gate_proj.weight [40, 24] instead of [41, 24]",
        "and 3 more",
    )


def test_memory_is_not_taken_for_a_lie(saved):
    folder = saved("llama")
    edit_config(folder, vocab_size=2**31)
    refused(folder, LuoxiaError, "embed_tokens.weight [61, 24] instead of [2147483648, 24]")


def test_tensors_of_whole_numbers(saved):
    folder = saved("gpt2")
    edit_tensors(
        folder, lambda t: t.update({"transformer.wpe.weight": torch.zeros(48, 24, dtype=torch.int8)})
    )
    refused(folder, LuoxiaError, "no floating-point numbers", "wpe.weight (I8)")


def test_a_tied_head_that_differs(saved):
    folder = saved("gpt2")
    edit_tensors(folder, lambda t: t.update({"lm_head.weight": torch.zeros(61, 24)}))
    refused(folder, LuoxiaError, "tie_word_embeddings=false")


def test_one_tensor_under_two_names(saved):
    folder = saved("gpt2")
    edit_tensors(folder, lambda t: t.update({"wpe.weight": t["transformer.wpe.weight"].clone()}))
    refused(folder, LuoxiaError, "under two names", "wpe.weight")


def test_pickles_are_not_opened(saved):
    folder = saved("gpt2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, UsageError, "pytorch_model.bin", "pickle", "save_pretrained")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, UsageError, "holds no model.safetensors")


@pytest.mark.parametrize(
    ("index", "word"),
    [
        ({}, "no weight_map"),
        ({"weight_map": [1]}, "no weight_map"),
        ({"weight_map": {"a": "../model.safetensors"}}, "not a safetensors file in its folder"),
        ({"weight_map": {"a": "/etc/passwd"}}, "not a safetensors file in its folder"),
        ({"weight_map": {"a": "pytorch_model.bin"}}, "not a safetensors file in its folder"),
        ({"weight_map": {"a": 3}}, "not a safetensors file in its folder"),
        ({"weight_map": {"a": "other.safetensors"}}, "lacks the shard other.safetensors"),
    ],
)
def test_bad_indices(saved, index, word):
    folder = saved("gpt2")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, LuoxiaError, word)


def test_a_tensor_in_two_shards(saved):
    folder = saved("gpt2")
    (folder / "b.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    index = {"weight_map": {"a": "b.safetensors", "c": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, LuoxiaError, "twice, in b.safetensors and model.safetensors")


def test_weights_twice(saved):
    folder = saved("gpt2")
    (folder / "b.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "b.safetensors"}}))
    refused(folder, LuoxiaError, "holds model.safetensors and model.safetensors.index.json")


def test_a_head_that_is_missing(saved):
    folder = saved("llama")
    edit_tensors(folder, lambda t: t.pop("lm_head.weight"))
    refused(folder, LuoxiaError, "lacks the tensors lm_head.weight")
    edit_config(folder, tie_word_embeddings=True)
    assert load_folder(folder).transformer.tied


def test_biases_that_the_config_does_not_know(saved):
    folder = saved("llama")
    name = "model.layers.0.self_attn.q_proj.bias"
    edit_tensors(folder, lambda t: t.update({name: torch.zeros(24)}))
    refused(folder, LuoxiaError, "beyond", "layers.0.self_attn.q_proj.bias")


def test_weights_of_8_bits(saved):
    folder = saved("llama")
    edit_tensors(folder, lambda t: t.update({n: x.to(torch.float8_e4m3fn) for n, x in t.items()}))
    refused(folder, LuoxiaError, "'F8_E4M3'", "quantized")


def entry(start, stop, shape=None, dtype="F32"):
    return {
        "dtype": dtype,
        "shape": [(stop - start) // 4] if shape is None else shape,
        "data_offsets": [start, stop],
    }


HOSTILE = {
    "a huge header": (struct.pack("<Q", 2**60) + b"{}", "claims"),
    "a header longer than the file": (struct.pack("<Q", 100) + b"{}", "claims 100 bytes"),
    "no header": (b"\x02\x00", "claims"),
    "an empty file": (b"", "claims"),
    "a list": ([], "not a JSON object"),
    "no JSON": (struct.pack("<Q", 4) + b"{{{{", "readable"),
    "no UTF-8": (struct.pack("<Q", 4) + b'{"\xff"', "readable"),
    "a deep nest": (struct.pack("<Q", 200_000) + b"[" * 200_000, "readable"),
    "a key twice": (b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 8)).encode(),) * 2), "twice"),
    "an entry that is no object": ({"a": 3}, "not described"),
    "an entry without a place": ({"a": {"dtype": "F32", "shape": [2]}}, "not described"),
    "overlapping places": ({"a": entry(0, 8), "b": entry(4, 8)}, "overlaps"),
    "the same place twice": ({"a": entry(0, 8), "b": entry(0, 8)}, "overlaps"),
    "a gap": ({"a": entry(4, 8)}, "gap"),
    "a place beyond the end": ({"a": entry(0, 4000)}, "cut off"),
    "a place that runs backwards": ({"a": entry(8, 0, [0])}, "does not fill"),
    "a negative place": ({"a": entry(-8, 0, [2])}, "whole numbers"),
    "a shape that overflows": ({"a": entry(0, 8, [2**62, 8])}, "does not fill"),
    "a shape of booleans": ({"a": entry(0, 8, [True, 2])}, "whole numbers"),
    "a shape of a thousand": ({"a": entry(0, 8, [1] * 1000)}, "whole numbers"),
    "a shape that is text": ({"a": entry(0, 8, "2")}, "whole numbers"),
    "an unknown type": ({"a": entry(0, 8, [8], "F8_E4M3")}, "F8_E4M3"),
    "bytes left over": ({"a": entry(0, 4)}, "4 bytes follow"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers(tmp_path, name):
    header, word = HOSTILE[name]
    if not isinstance(header, bytes) or header.startswith(b"{"):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        header = struct.pack("<Q", len(text)) + text + b"\0" * 8
    path = tmp_path / "model.safetensors"
    path.write_bytes(header)
    with pytest.raises(LuoxiaError, match="not a readable safetensors file") as caught:
        read_header(path)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_whole_headers_are_read(tmp_path):
    path = tmp_path / "fine.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(0, 4), "c": torch.ones((), dtype=torch.bool)}, path)
    entries = read_header(path)
    assert {name: e.shape for name, e in entries.items()} == {"a": (2, 3), "b": (0, 4), "c": ()}


@pytest.mark.parametrize("cut", [1, 40, 4000])
def test_files_that_were_cut_off(saved, cut):
    folder = saved("gpt2")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-cut])
    refused(folder, LuoxiaError, "cut off")
