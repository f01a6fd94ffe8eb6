"""Tokenizers travel with the weights: the same ids here and in the public toolkit."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_models import transformers

from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.saving import save_folder
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.nn.transformer import Decoder, TransformerConfig

TEXTS = [
    "Low mists and a lone wild duck fly together.",
    "秋水共长天一色 🦆",
    " two  spaces,\n\nnew lines\t",
    "é",
]


def small(vocabulary: int) -> Decoder:
    return Decoder(TransformerConfig(vocabulary, width=8, layers=1, heads=2, activation="swiglu", context=32))


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_ours_opens_there_and_here_again(tmp_path, kind):
    texts = TEXTS * 3 if kind == "bpe" else ()
    tokenizer = Tokenizer.train(kind, texts, vocabulary=300 if kind == "bpe" else None, specials=["<sep>"])
    save_folder(small(tokenizer.vocabulary), tmp_path / "m", tokenizer=tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    here = Tokenizer.from_huggingface(tmp_path / "m")
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids == here.encode(text)
        assert theirs.decode(ids) == text == here.decode(ids)
    assert len(theirs) == tokenizer.vocabulary == here.vocabulary
    for name in ("pad", "bos", "eos", "unk"):
        expected = getattr(tokenizer, name)
        assert getattr(theirs, f"{name}_token_id") == expected == getattr(here, name)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert [config[f"{name}_token_id"] for name in ("pad", "bos", "eos")] == [0, 1, 2]


def test_theirs_is_copied_and_written(tmp_path):
    tokenizer = Tokenizer.train("bpe", TEXTS * 3, vocabulary=300)
    network = small(tokenizer.vocabulary)
    save_folder(network, tmp_path / "first", tokenizer=tokenizer)
    loaded = load_folder(tmp_path / "first")
    copied = save_folder(loaded.network, tmp_path / "copied", like=loaded)
    written = save_folder(
        loaded.network, tmp_path / "written", tokenizer=Tokenizer.from_huggingface(loaded.folder)
    )
    for folder in (copied, written):
        for source in (
            transformers.AutoTokenizer.from_pretrained(folder),
            Tokenizer.from_huggingface(folder),
        ):
            assert source.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]
            assert source.encode(TEXTS[1]) == tokenizer.encode(TEXTS[1])
    first, second = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("first", "copied"))
    assert first == second


def test_tokenizers_without_a_counterpart(tmp_path):
    tokenizer = Tokenizer.train("character", TEXTS)
    folder = save_folder(small(tokenizer.vocabulary), tmp_path / "m", tokenizer=tokenizer)
    assert not (folder / "tokenizer.json").exists()
    assert Tokenizer.load(folder).encode(TEXTS[1]) == tokenizer.encode(TEXTS[1])
    ids = torch.tensor([tokenizer.encode(TEXTS[1])])
    assert load_folder(folder).network(ids).shape == (1, len(TEXTS[1]), tokenizer.vocabulary)
