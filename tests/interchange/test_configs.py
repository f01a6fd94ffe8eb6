"""config.json as people find and edit it: the public toolkit's logits, or a refusal that names the key."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import SIZES, outputs, transformers

from luoxia.core.errors import LuoxiaError
from luoxia.interchange.huggingface import load_folder

IDS = torch.randint(0, 50, (2, 21), generator=torch.Generator().manual_seed(5))
GPT2 = {"vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 48}
GROUPED = {**SIZES, "num_key_value_heads": 2}
BASE = {"gpt2": GPT2, "bert": SIZES, "llama": GROUPED, "mistral": GROUPED, "qwen2": GROUPED, "qwen3": GROUPED}
LINEAR = {"rope_type": "linear", "factor": 3.0}
FULL, SLIDING = "full_attention", "sliding_attention"
WINDOW = {"use_sliding_window": True, "sliding_window": 4}


def written(folder: Path, kind: str, **changes: Any) -> torch.Tensor:
    """A folder of this very config.json, and what the toolkit computes with it."""
    values = {"model_type": kind, **BASE[kind], **changes}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(values))
    torch.manual_seed(1)
    config = transformers.AutoConfig.from_pretrained(folder)
    auto = transformers.AutoModel if kind == "bert" else transformers.AutoModelForCausalLM
    model = auto.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(values))
    return outputs(model, IDS)


EQUAL: dict[str, tuple[str, dict[str, Any]]] = {
    "layer_types before max_window_layers": (
        "qwen2",
        {**WINDOW, "max_window_layers": 1, "layer_types": [FULL, FULL]},
    ),
    "layer_types, all windows": ("qwen3", {**WINDOW, "layer_types": [SLIDING, SLIDING]}),
    "max_window_layers missing: 28": ("qwen2", WINDOW),
    "max_window_layers 0": ("qwen3", {**WINDOW, "max_window_layers": 0}),
    "a window of null": ("qwen2", {**WINDOW, "sliding_window": None, "max_window_layers": 0}),
    "a window that is not used": ("qwen2", {"sliding_window": 4, "max_window_layers": 0}),
    "no window given": ("mistral", {}),
    "rope_scaling beside rope_parameters": (
        "llama",
        {"rope_scaling": LINEAR, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
    ),
    "rope_scaling beside rope_theta": ("llama", {"rope_scaling": LINEAR, "rope_theta": 300.0}),
    "rope_parameters beside rope_theta": (
        "qwen2",
        {"rope_parameters": {"rope_type": "default"}, "rope_theta": 300.0},
    ),
    "rope_theta in both": (
        "mistral",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "rope_theta": 300.0},
    ),
    "a factor without a kind": ("llama", {"rope_scaling": {"factor": 4.0}}),
    "an original length outside": (
        "llama",
        {
            "original_max_position_embeddings": 12,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 24,
            },
        },
    ),
    "heads of null": ("llama", {"num_key_value_heads": None, "head_dim": None}),
    "head_dim missing: 128": ("qwen3", {}),
    "swish": ("llama", {"hidden_act": "swish"}),
    "what changes nothing": (
        "llama",
        {"architectures": ["LlamaForCausalLM"], "auto_map": {"AutoModel": "x.Y"}, "use_mrope": False,
         "residual_multiplier": 1.0, "pretraining_tp": 2, "unsloth_fixed": True},
    ),
    "other names of GPT-2": ("gpt2", {"hidden_size": 28, "n_ctx": 48}),
    "an upcast of GPT-2": ("gpt2", {"reorder_and_upcast_attn": True, "activation_function": "gelu_python"}),
    "sizes left out": ("gpt2", {"activation_function": "relu", "n_inner": None}),
    "BERT of its first days": ("bert", {"directionality": "bidi", "pooler_fc_size": 768}),
}  # fmt: skip


@pytest.mark.parametrize("case", EQUAL)
def test_the_same_logits(tmp_path, case):
    kind, changes = EQUAL[case]
    reference = written(tmp_path / "m", kind, **changes)
    with torch.no_grad():
        torch.testing.assert_close(load_folder(tmp_path / "m").network(IDS), reference, atol=1e-4, rtol=0)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("qwen2", {**WINDOW, "layer_types": [SLIDING, FULL]}, "layer_types="),
    ("qwen2", {**WINDOW, "layer_types": [SLIDING]}, "layer_types must be a list of 2"),
    ("qwen2", {**WINDOW, "layer_types": [FULL, "linear_attention"]}, "layer_types must be"),
    ("qwen2", {"layer_types": [SLIDING, SLIDING]}, "layer_types must be all full_attention"),
    ("qwen3", {**WINDOW, "max_window_layers": 1}, "max_window_layers=1"),
    ("mistral", {"layer_types": [SLIDING, FULL]}, "layer_types="),
    ("llama", {"sliding_window": 4}, "sliding_window=4"),
    ("llama", {"mlp_bias": True}, "mlp_bias=True"),
    ("llama", {"attention_bias": True}, "mlp_bias=False"),
    ("llama", {"attn_logit_softcapping": 30.0}, "attn_logit_softcapping=30.0"),
    ("llama", {"residual_multiplier": 0.5}, "residual_multiplier=0.5"),
    ("llama", {"logits_scaling": 8.0}, "logits_scaling=8.0"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
    ("llama", {"rope_interleaved": True}, "rope_interleaved=True"),
    ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic'"),
    ("llama", {"rope_scaling": {FULL: LINEAR}}, FULL),
    ("llama", {"rope_scaling": {**LINEAR, "attention_factor": 2.0}}, "attention_factor=2.0"),
    ("llama", {"architectures": ["TwistedForCausalLM"]}, "'TwistedForCausalLM'"),
    ("llama", {"architectures": ["LlamaForCausalLMWithTwist"]}, "'LlamaForCausalLMWithTwist'"),
    ("llama", {"auto_map": {"AutoModelForCausalLM": "x.Y"}}, "auto_map"),
    ("llama", {"per_layer_config": {"0": {"rms_norm_eps": 1.0}}}, "per_layer_config"),
    ("qwen3", {"attention_bias": True}, "attention_bias=True"),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False"),
    ("gpt2", {"activation_function": "quick_gelu"}, "activation_function"),
    ("bert", {"is_decoder": True}, "is_decoder=True"),
    ("bert", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
]


@pytest.mark.parametrize(("kind", "changes", "told"), REFUSED)
def test_a_refusal_names_the_key(tmp_path, kind, changes, told):
    values = {"model_type": kind, **BASE[kind], **changes}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(LuoxiaError) as caught:
        load_folder(tmp_path)
    assert told in str(caught.value) and "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


CHOICES: dict[str, list[Any]] = {
    "use_sliding_window": [True, False],
    "sliding_window": [4, None, 100],
    "max_window_layers": [0, 1, 2, 28],
    "layer_types": [None, [FULL, FULL], [SLIDING, FULL], [SLIDING, SLIDING]],
    "rope_theta": [500.0, 10_000],
    "rope_scaling": [None, LINEAR, {"type": "dynamic", "factor": 2.0}, {"type": "default"}],
    "rope_parameters": [None, {"rope_type": "default", "rope_theta": 77.0}, {**LINEAR, "rope_theta": 5e2}],
    "tie_word_embeddings": [True, False],
    "head_dim": [8, 12],
    "num_key_value_heads": [1, 4, None],
    "attention_bias": [True, False],
    "attention_dropout": [0.3, None],
    "final_logit_softcapping": [None, 30.0],
}


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_many_configs_are_equal_or_refused(tmp_path, kind):
    rng = random.Random(kind)
    equal = 0
    for number in range(12):
        asked = {key: rng.choice(values) for key, values in CHOICES.items() if rng.random() < 0.15}
        folder = tmp_path / str(number)
        try:
            reference = written(folder, kind, **asked)
        except Exception:  # the toolkit refuses the mixture too
            continue
        try:
            network = load_folder(folder).network
        except LuoxiaError:
            continue
        with torch.no_grad():
            torch.testing.assert_close(network(IDS), reference, atol=1e-4, rtol=0)
        equal += 1
    assert equal >= 3
