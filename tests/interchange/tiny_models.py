"""Tiny random models of the public toolkit, and ours of the same shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 48,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 48, "vocab_size": 61}),
    "gpt2 untied, odd sizes": (
        "GPT2",
        {
            "n_embd": 20,
            "n_layer": 3,
            "n_head": 5,
            "n_positions": 33,
            "vocab_size": 50,
            "n_inner": 36,
            "activation_function": "gelu",
            "layer_norm_epsilon": 1e-3,
            "tie_word_embeddings": False,
        },
    ),
    "llama": ("Llama", {**SIZES, "rms_norm_eps": 1e-3}),
    "llama grouped, tied, biased": (
        "Llama",
        {
            **SIZES,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 300.0},
        },
    ),
    "llama 3 rope": ("Llama", {**SIZES, "num_key_value_heads": 1, "rope_parameters": LLAMA3}),
    "llama linear rope, wide heads": (
        "Llama",
        {
            **SIZES,
            "head_dim": 10,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0},
        },
    ),
    "qwen2": ("Qwen2", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen2 untied": ("Qwen2", {**SIZES, "num_key_value_heads": 4, "rms_norm_eps": 1e-4}),
    "qwen3": ("Qwen3", {**SIZES, "num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": True}),
    "qwen3 wide heads": ("Qwen3", {**SIZES, "num_key_value_heads": 1, "head_dim": 14}),
    "mistral": ("Mistral", {**SIZES, "num_key_value_heads": 2, "head_dim": 12, "sliding_window": None}),
    "mistral windowed": ("Mistral", {**SIZES, "num_key_value_heads": 4, "sliding_window": 5}),
    "bert": ("Bert", SIZES),
    "bert of one segment": ("Bert", {**SIZES, "type_vocab_size": 1, "hidden_act": "gelu_new"}),
}


def make(name: str, seed: int = 0, **changes: Any) -> Any:
    """A model of the public toolkit with weights that are large enough for differences to show."""
    family, settings = MODELS[name]
    config = getattr(transformers, f"{family}Config")(**{**settings, **changes})
    torch.manual_seed(seed)
    kind = transformers.AutoModel if family == "Bert" else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def outputs(model: Any, ids: torch.Tensor, **more: Any) -> torch.Tensor:
    """Logits, or an encoder's last hidden states."""
    with torch.no_grad():
        result = model(ids, **more)
    return result.logits if "logits" in result else result.last_hidden_state


def shift_adapters(network: Any) -> None:
    """Bring our network's adapters away from their start."""
    from luoxia.nn.lora import adapters

    with torch.no_grad():
        for _, layer in adapters(network):
            for tensor in (layer.a, layer.b):
                tensor.add_(torch.randn_like(tensor) * 0.2)
