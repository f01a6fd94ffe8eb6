"""The tokens of the field's folders: where a text begins and ends, and tokens without a row in the embedding."""

import json
from pathlib import Path

import pytest
import torch
from foreign import change_config, save_model, transformers

import luoxia
from luoxia.decoding.loop import Decoding

PROMPT, MOST = "the dog", 24


def change_json(path: Path, **values: object) -> None:
    told = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(told | values), "utf-8")


def written(folder: Path) -> list[int]:
    """What transformers writes on its own accord, greedily, without the token that ends it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    asked = tokenizer(PROMPT, return_tensors="pt")
    unknown = list(range(270, 300))  # the network's, which the tokenizer lacks
    with torch.no_grad():
        found = model.generate(
            input_ids=asked.input_ids, attention_mask=torch.ones_like(asked.input_ids), pad_token_id=0,
            max_new_tokens=MOST, do_sample=False, suppress_tokens=unknown,
        )  # fmt: skip
    ids = found[0, asked.input_ids.shape[1] :].tolist()
    ends = model.generation_config.eos_token_id
    return [i for i in ids if i not in (ends if isinstance(ends, list) else [ends])]


def ours(folder: Path) -> tuple[list[int], str]:
    greedy = Decoding(max_tokens=MOST, temperature=0)
    found = luoxia.load(folder).completions(1, prompt=PROMPT, decoding=greedy)[0]
    return found.ids, found.reason


@pytest.fixture
def endless(here: Path) -> tuple[Path, list[int]]:
    """A model without any end token, and what it writes."""
    save_model(here / "model", "Llama", bos=True, seed=3)
    change_config(here / "model", eos_token_id=None)
    change_json(here / "model" / "generation_config.json", eos_token_id=None)
    change_json(here / "model" / "tokenizer_config.json", eos_token=None)
    ids = written(here / "model")
    assert len(ids) == MOST and len(set(ids)) > 6
    return here / "model", ids


def later(ids: list[int], least: int) -> int:
    """A token that first comes at ``least`` or later."""
    return next(token for i, token in enumerate(ids) if i >= least and token not in ids[:i])


@pytest.mark.parametrize("place", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("several", [False, True])
def test_it_stops_where_the_toolkit_stops(endless, place, several):
    folder, ids = endless
    if place == "config.json":
        (folder / "generation_config.json").unlink()
    early, late = later(ids, 3), later(ids, 6)
    change_json(folder / place, eos_token_id=[late, early] if several else late)
    wanted = ids[: ids.index(early if several else late)]
    assert written(folder) == wanted
    assert ours(folder) == (wanted, "eos")


def test_generation_config_counts_before_config_and_tokenizer(endless):
    folder, ids = endless
    early, late = later(ids, 3), later(ids, 6)
    change_config(folder, eos_token_id=early)
    change_json(folder / "generation_config.json", eos_token_id=late)
    name = transformers.AutoTokenizer.from_pretrained(folder).convert_ids_to_tokens(early)
    change_json(folder / "tokenizer_config.json", eos_token=name)
    assert written(folder) == ids[: ids.index(late)]
    assert ours(folder) == (ids[: ids.index(late)], "eos")


def test_the_tokenizers_end_counts_where_nothing_else_is_said(endless):
    folder, ids = endless
    late = later(ids, 4)
    name = transformers.AutoTokenizer.from_pretrained(folder).convert_ids_to_tokens(late)
    change_json(folder / "tokenizer_config.json", eos_token=name)
    assert ours(folder) == (ids[: ids.index(late)], "eos")


def test_ends_that_are_no_tokens(endless, refused):
    folder, _ = endless
    change_json(folder / "generation_config.json", eos_token_id=[10**6])  # none is ever drawn
    assert ours(folder)[1] == "length"
    change_json(folder / "generation_config.json", eos_token_id="</s>")
    assert "eos_token_id must be a token's number" in refused(1, "sample", folder, "prompt=a")


def test_the_end_in_config_alone_is_learned_and_stops_the_tuned_model(endless, luoxia_command):
    folder, ids = endless
    late = later(ids, 4)
    change_config(folder, eos_token_id=late)
    Path("words.txt").write_text("the cat sat on the mat. " * 100)
    small = ("batch=2", "context=24", "score_samples=0", "device=cpu", "steps=1", "out=run")
    result = luoxia_command("finetune", folder, "data=words.txt", *small)
    assert result.exit_code == 0, result.stderr
    tuned = luoxia.load("run")
    assert tuned.tokenizer.eos == late and tuned.ends == {late}


# ------------------------------------------------------------------ tokens beyond the embedding


def test_added_tokens_without_a_row_are_refused_by_every_verb(here, refused):
    save_model(here / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(here / "model")
    tokenizer.add_tokens([f"<extra {i}>" for i in range(40)], special_tokens=True)
    tokenizer.save_pretrained(here / "model")
    Path("words.txt").write_text("the cat <extra 39> " * 100)
    for verb, *more in (
        ("sample", "prompt=<extra 39>"),
        ("measure", "data=words.txt"),
        ("finetune", "data=words.txt", "out=run"),
        ("export", "out=given"),
    ):
        told = refused(1, verb, "model", *more)
        assert "310 tokens and the network's embedding only 300 rows" in told and "<extra 3" in told, verb
    assert not Path("run").exists() and not Path("given").exists()


# ------------------------------------------------------------------ where a text begins


@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize(
    "asked", [{}, {"add_bos_token": True}, {"add_bos_token": False, "add_eos_token": True}]
)
def test_marks_around_a_text_are_the_toolkits(here, template, asked):
    save_model(here / "model", "Llama", bos=template)
    change_json(here / "model" / "tokenizer_config.json", **asked)
    wanted = transformers.AutoTokenizer.from_pretrained(here / "model")("the cat").input_ids
    found = luoxia.load(here / "model").tokenizer
    assert [*found.prefix, *found.encode("the cat"), *found.suffix] == wanted
    again = type(found).from_json(json.loads(json.dumps(found.to_json())))
    assert (again.prefix, again.suffix) == (found.prefix, found.suffix)
