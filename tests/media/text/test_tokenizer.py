import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.text.tokenizer import SEPARATOR, Tokenizer

KINDS = ["byte", "character", "bpe", "unigram"]
ENGLISH = [
    "The quick brown fox jumps over the lazy dog.",
    "Two lazy dogs sleep,\n\nand the fox jumps again!",
    "  A fox is quicker than 10 dogs; isn't it?",
]
CHINESE = ["白日依山盡，黃河入海流。", "欲窮千里目，更上一層樓。", "黃河遠上白雲間，一片孤城萬仞山。"]
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@cache
def learned(kind: str) -> Tokenizer:
    vocabulary = {"bpe": 330, "unigram": 400}.get(kind)
    return Tokenizer.train(kind, ENGLISH + CHINESE, vocabulary, specials=(SEPARATOR,))


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_any_text_comes_back(kind: str, text: str) -> None:
    tokenizer = learned(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert all(tokenizer.offset <= token < tokenizer.vocabulary for token in ids)  # type: ignore[attr-defined]


@settings(max_examples=200, deadline=None)
@given(text=any_text.filter(lambda text: "▁" not in text))
def test_unigram_text_comes_back(text: str) -> None:
    assert learned("unigram").decode(learned("unigram").encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_known_text_comes_back(kind: str) -> None:
    tokenizer = learned(kind)
    for text in ENGLISH + CHINESE:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    batch = tokenizer.encode_batch([*ENGLISH, ""])
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(text) for text in [*ENGLISH, ""]]
    assert len(batch[-1]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_special_names_in_a_text_are_text(kind: str) -> None:
    tokenizer = Tokenizer.train(
        kind,
        [*ENGLISH, "<eos><sep><pad>"],
        learned(kind).vocabulary + 9 if kind in ("bpe", "unigram") else None,
        specials=(SEPARATOR,),
    )
    assert (tokenizer.pad, tokenizer.bos, tokenizer.eos, tokenizer.unk, tokenizer.sep) == (0, 1, 2, 3, 4)
    text = "fox<eos>dog<sep><pad>"
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.specials.values())
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode([0, 1, 2, 4]) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    tokenizer = learned(kind)
    assert tokenizer.save(tmp_path).name == "tokeniser.json"
    again = Tokenizer.load(tmp_path)
    assert again.kind == kind
    assert again.digest == tokenizer.digest
    assert again.specials == tokenizer.specials
    assert again.vocabulary == tokenizer.vocabulary
    assert again.encode(ENGLISH[0] + CHINESE[0]) == tokenizer.encode(ENGLISH[0] + CHINESE[0])
    lengths = again.byte_lengths()
    assert lengths.tolist() == [len(again.token_bytes(token)) for token in range(again.vocabulary)]


def test_digests_differ() -> None:
    digests = {learned(kind).digest for kind in KINDS} | {Tokenizer.train("byte").digest}
    assert len(digests) == len(KINDS) + 1


TRAINED = """
import sys
from luoxia.media.text.tokenizer import Tokenizer
texts = [f"{w} und {chr(0x4e00 + i % 90)}{chr(0x4e01 + i % 7)} {i}" for i, w in enumerate(sys.argv[1:] * 40)]
print(*[Tokenizer.train(kind, texts, 700).digest for kind in ("bpe", "unigram")])
"""


def test_training_is_a_function_of_the_text() -> None:
    words = " ".join(ENGLISH).split()
    command = [sys.executable, "-c", TRAINED, *words]
    first, second = (subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2))
    assert first == second


def test_the_most_frequent_characters_are_kept() -> None:
    tokenizer = Tokenizer.train("character", ["aaabbbbccd"], 4 + 2)
    assert tokenizer.vocabulary == 6
    assert tokenizer.encode("abcd") == [4, 5, 3, 3]
    assert tokenizer.decode([4, 5, 3]) == "ab\ufffd"


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_surrogate_pair(kind: str) -> None:
    ids = learned(kind).encode("fox \ud800dog")
    assert learned(kind).decode(ids) == "fox \ufffddog"
    assert learned(kind).encode_batch(["fox \ud800dog"])[0].tolist() == ids


@pytest.mark.parametrize("token", [-1, 10**6])
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_outside_the_vocabulary(kind: str, token: int) -> None:
    with pytest.raises(UsageError, match="outside the vocabulary"):
        learned(kind).decode([4, token])


@pytest.mark.parametrize(
    ("kind", "texts", "vocabulary", "message"),
    [
        ("bpee", ENGLISH, None, "did you mean bpe"),
        ("bpe", ENGLISH, 200, "give at least 260"),
        ("byte", ENGLISH, 300, "vocabulary of 260"),
        ("unigram", ENGLISH, 265, "different characters"),
        ("character", ENGLISH, 4, "no room"),
        ("bpe", [], 300, "no text"),
        ("unigram", [""], 300, "no text"),
        ("character", [""], None, "no text"),
        ("bpe", "one text", 300, "list of texts"),
    ],
)
def test_bad_training(kind: str, texts: list[str], vocabulary: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tokenizer.train(kind, texts, vocabulary)


def test_special_names_are_given_once() -> None:
    with pytest.raises(UsageError, match="already exists"):
        Tokenizer.train("byte", specials=("<eos>",))


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"kind": "pickle"}', '{"kind": "bpe", "specials": [], "model": {}}']
)
def test_damaged_files(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokeniser.json").write_text(content)
    with pytest.raises(LuoxiaError, match="missing" if content is None else "damaged"):
        Tokenizer.load(tmp_path)


def save_foreign(folder: Path, style: str) -> object:
    """A tokenizer as transformers saves it; returns it."""
    import tokenizers as lib
    from transformers import PreTrainedTokenizerFast

    specials = ["<unk>", "<s>", "</s>", "<pad>", "[CLS]", "[SEP]", "[UNK]"]
    if style == "gpt2":
        backend = lib.Tokenizer(lib.models.BPE())
        backend.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = lib.decoders.ByteLevel()
        trainer = lib.trainers.BpeTrainer(
            vocab_size=350,
            special_tokens=specials,
            initial_alphabet=lib.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    elif style == "llama":
        backend = lib.Tokenizer(lib.models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        backend.normalizer = lib.normalizers.Sequence(
            [lib.normalizers.Prepend("▁"), lib.normalizers.Replace(" ", "▁")]
        )
        parts = [lib.decoders.Replace("▁", " "), lib.decoders.ByteFallback(), lib.decoders.Fuse()]
        backend.decoder = lib.decoders.Sequence([*parts, lib.decoders.Strip(" ", 1, 0)])
        spelled = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = lib.trainers.BpeTrainer(
            vocab_size=400, special_tokens=specials + spelled, show_progress=False
        )
    else:
        backend = lib.Tokenizer(lib.models.WordPiece(unk_token="[UNK]"))
        backend.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
        backend.decoder = lib.decoders.WordPiece(cleanup=False)
        trainer = lib.trainers.WordPieceTrainer(vocab_size=200, special_tokens=specials, show_progress=False)
    backend.train_from_iterator(ENGLISH + CHINESE, trainer)
    if style == "llama":  # bytes are no special tokens there
        model = json.loads(backend.to_str())
        model["added_tokens"] = model["added_tokens"][:7]
        backend = lib.Tokenizer.from_str(json.dumps(model))
    first, last = ("[CLS]", "[SEP]") if style == "bert" else ("<s>", "")
    template = f"{first} $A {last}".strip()
    pair = [(name, backend.token_to_id(name)) for name in (first, last) if name]
    backend.post_processor = lib.processors.TemplateProcessing(single=template, special_tokens=pair)
    whole = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    whole.save_pretrained(folder)
    return whole


@pytest.mark.parametrize("style", ["gpt2", "llama", "bert"])
def test_hugging_face_folders(style: str, tmp_path: Path) -> None:
    theirs = save_foreign(tmp_path, style)
    ours = Tokenizer.from_huggingface(tmp_path)
    texts = ENGLISH + CHINESE + (["emoji 🦊 é"] if style != "bert" else [])
    for text in texts:
        expected = theirs(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        assert ours.encode(text) == expected
        marked = theirs(text)["input_ids"]  # type: ignore[operator]
        assert [*ours.prefix, *expected, *ours.suffix] == marked
        decoded = theirs.decode(marked, skip_special_tokens=True, clean_up_tokenization_spaces=False)  # type: ignore[attr-defined]
        assert ours.decode(marked) == decoded
    assert [ids.tolist() for ids in ours.encode_batch(texts)] == [ours.encode(text) for text in texts]
    assert (ours.unk, ours.bos, ours.eos, ours.pad) == (0, 1, 2, 3)
    assert not set(ours.encode("fox</s><s>[CLS]")) & {1, 2, 3, 4, 5}
    (tmp_path / "own").mkdir()
    ours.save(tmp_path / "own")
    again = Tokenizer.load(tmp_path / "own")
    assert (again.kind, again.digest, again.eos) == ("huggingface", ours.digest, ours.eos)
    assert again.encode(texts[0]) == ours.encode(texts[0])
    assert np.array_equal(again.byte_lengths(), ours.byte_lengths())


def test_bad_hugging_face_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(LuoxiaError, match="cannot be read"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(LuoxiaError, match="is not a tokenizer"):
        Tokenizer.from_huggingface(tmp_path)
