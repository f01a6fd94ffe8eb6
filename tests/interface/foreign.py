"""Hugging Face folders as the public toolkit writes them: tiny random models with a tokenizer of their own."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
GPT2 = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "GPT2": GPT2,
    "Llama": SIZES,
    "Qwen2": {**SIZES, "num_key_value_heads": 2},
    "Qwen3": {**SIZES, "num_key_value_heads": 2, "head_dim": 8},
    "Mistral": {**SIZES, "num_key_value_heads": 2, "sliding_window": None},
    "Bert": SIZES,
}


def tokenizer(bos: bool = False) -> Any:
    """A byte-level BPE of 270 tokens; with ``bos``, its template begins every text with <s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=270, special_tokens=["<end>", "<s>"], initial_alphabet=alphabet)
    made.train_from_iterator(["the cat sat on the mat, and the dog sat too "] * 20, trainer)
    if bos:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", bos_token="<s>")


def save_model(
    folder: Path, family: str = "GPT2", seed: int = 0, *, text: bool = True, bos: bool = False
) -> Any:
    """Save a fresh model, with its tokenizer unless ``text`` is False; returns the public toolkit's model."""
    import torch

    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family], bos_token_id=1, eos_token_id=0)
    kind = transformers.AutoModel if family == "Bert" else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    if text:
        tokenizer(bos).save_pretrained(folder)
    return model


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def change_tensors(folder: Path, change: Any) -> None:
    """``change`` takes the tensors by name and may do with them what it likes."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_header(folder: Path, change: Any, length: int | None = None) -> None:
    """Rewrite the header of the weights' file; ``length`` is the one it claims to have."""
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    change(header)
    written = json.dumps(header).encode()
    path.write_bytes(
        struct.pack("<Q", len(written) if length is None else length) + written + raw[8 + size :]
    )
