"""Hugging Face folders, both ways: the largest difference of logits, and the texts that both tokenize alike.

Random models of every family are saved by transformers and opened here, and saved here and opened there. The logits
are of 4 rows of 32 tokens; the weights are spread so that the logits are of the size of a trained model's.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from common import arguments, header, table
from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.saving import save_folder
from luoxia.media.text.tokenizer import Tokenizer

SIZES = {
    "vocab_size": 512,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 160,
    "max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
GPT2 = {"vocab_size": 512, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128}
SHAPES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GPT2", "tied head, learned positions", GPT2),
    ("GPT2", "untied head, narrow inside", {**GPT2, "tie_word_embeddings": False, "n_inner": 96}),
    ("Llama", "as many heads of keys as of queries", SIZES),
    ("Llama", "grouped queries, tied head, Llama 3.1's positions",
     {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True, "rope_parameters": LLAMA3}),
    ("Qwen2", "grouped queries, biases of q, k, v", {**SIZES, "num_key_value_heads": 2}),
    ("Qwen3", "one head of keys, QK-norm, wide heads", {**SIZES, "num_key_value_heads": 1, "head_dim": 32}),
    ("Mistral", "grouped queries", {**SIZES, "num_key_value_heads": 2, "sliding_window": None}),
    ("Mistral", "a window of 8 tokens", {**SIZES, "num_key_value_heads": 2, "sliding_window": 8}),
    ("Bert", "post-norm, segments, pooler kept", SIZES),
)  # fmt: skip


def build(family: str, settings: dict[str, Any], seed: int) -> Any:
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**settings)
    kind = transformers.AutoModel if family == "Bert" else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def outputs(model: Any, ids: torch.Tensor) -> torch.Tensor:
    result = model(ids)
    return result.logits if "logits" in result else result.last_hidden_state


def tokenizer(seed: int) -> tuple[Any, list[str]]:
    """A byte-level BPE, and texts to try it on: words it knows, and characters it does not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(1, 7))) for _ in range(300)]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        show_progress=False, vocab_size=512, special_tokens=["<end>"], initial_alphabet=alphabet
    )
    made.train_from_iterator([" ".join(rng.choices(words, k=30)) for _ in range(200)], trainer)
    texts = [
        " ".join(rng.choices([*words, "naïve", "落霞", "12.5", "🙂", "\n\n", "don't"], k=20))
        for _ in range(200)
    ]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>"), texts


@torch.no_grad()
def compare(family: str, settings: dict[str, Any], seed: int) -> list[Any]:
    """Size of the logits, differences both ways, texts with the same ids both ways."""
    model = build(family, settings, seed)
    theirs, texts = tokenizer(seed)
    ids = torch.randint(0, 512, (4, 32), generator=torch.Generator().manual_seed(seed))
    wanted = outputs(model, ids)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder / "theirs")
        theirs.save_pretrained(folder / "theirs")
        loaded = load_folder(folder / "theirs")
        inward = (loaded.network(ids) - wanted).abs().max().item()
        save_folder(loaded.network, folder / "ours", like=loaded, tokenizer=loaded.tokenizer())
        kind = transformers.AutoModel if family == "Bert" else transformers.AutoModelForCausalLM
        again = kind.from_pretrained(folder / "ours", attn_implementation="eager").eval()
        outward = (outputs(again, ids) - wanted).abs().max().item()
        back = transformers.AutoTokenizer.from_pretrained(folder / "ours")
        ours = Tokenizer.from_huggingface(folder / "theirs")
        same = sum(ours.encode(t) == theirs(t).input_ids == back(t).input_ids for t in texts)
    return [f"{wanted.abs().max():.1f}", f"{inward:.1e}", f"{outward:.1e}", f"{same} of {len(texts)}"]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    header("The field's weights", chosen.quick)
    print(f"transformers {transformers.__version__}\n")
    rows = [
        [family.lower(), told, *compare(family, settings, chosen.seed)]
        for family, told, settings in (SHAPES[:2] if chosen.quick else SHAPES)
    ]
    columns = (
        "model_type",
        "shape",
        "largest output",
        "opened here",
        "saved here, opened there",
        "texts alike",
    )
    table(columns, rows)


if __name__ == "__main__":
    main()
