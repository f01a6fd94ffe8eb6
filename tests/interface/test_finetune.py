"""Going on from trained weights: all of them, or through adapters."""

import json
from pathlib import Path

import pytest
import torch
from foreign import save_model, transformers
from safetensors.torch import load_file

import luoxia
from luoxia.interchange.huggingface import load_folder
from luoxia.interchange.peft import load_adapter
from luoxia.tasks.language_modeling.recipes import GPT

SMALL = ("batch=4", "context=24", "score_samples=0", "sample_every=0", "device=cpu", "precision=fp32")
TEXT = "the cat sat on the mat, and the dog sat too. "


@pytest.fixture
def words(here: Path) -> Path:
    (here / "words.txt").write_text(TEXT * 100)
    return here / "words.txt"


def state(model) -> dict[str, torch.Tensor]:
    return luoxia.load(model).network.state_dict()


def bits(run: str) -> float:
    records = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    last = [r for r in records if r["kind"] == "score" and r["final"]][-1]["scores"]
    return next(score["value"] for score in last if score["name"] == "bits per byte")


@pytest.mark.parametrize("lora", [(), ("lora=4",)])
def test_a_folder_is_gone_on_with_in_its_own_tokens(words, luoxia_command, lora):
    save_model(Path("model"), "Llama", bos=True)
    for steps in (1, 60):
        asked = (f"steps={steps}", "lr=1e-2", "schedule=constant", f"out=run{steps}", *lora)
        result = luoxia_command("finetune", "model", "data=words.txt", *SMALL, *asked)
        assert result.exit_code == 0, result.stderr
    assert bits("run60") < 0.7 * bits("run1")
    tuned, first = luoxia.load("run60"), luoxia.load("model")
    assert tuned.tokenizer.digest == first.tokenizer.digest
    assert tuned.network.config.context == first.network.config.context == 64
    assert state("run60").keys() == state("model").keys()
    changed = {n for n, t in state("run60").items() if not torch.equal(t, state("model")[n])}
    assert ("embedding.tokens.weight" in changed) == (not lora)  # adapters are of linear layers only
    assert "stack.layers.1.attention.qkv.weight" in changed


def test_adapters_are_saved_beside_the_merged_weights(words, luoxia_command):
    save_model(Path("model"), "Qwen2")
    asked = ("steps=5", "lr=1e-2", "schedule=constant", "lora=2", "lora_alpha=8", "out=run")
    result = luoxia_command("finetune", "model", "data=words.txt", *SMALL, *asked)
    assert result.exit_code == 0, result.stderr
    config = json.loads(Path("run/model/adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 8)
    base = load_folder("model")
    ids = torch.tensor([[5, 9, 200, 31]])
    with torch.no_grad():
        before = base.network(ids)
        load_adapter(base.network, "run/model/adapter", base.architecture)
        adapted = base.network(ids)
    merged = luoxia.load("run").logits(ids)
    assert (merged - before).abs().max() > 1e-3
    torch.testing.assert_close(adapted, merged, atol=1e-5, rtol=0)
    torch.testing.assert_close(luoxia.load("run", ema=False).logits(ids), merged, atol=1e-6, rtol=0)
    greedy = ("prompt=the", "temperature=0", "max_tokens=6")
    said = [
        luoxia_command("sample", *given, *greedy).stdout
        for given in (("run",), ("model", "adapter=run/model/adapter"))
    ]
    assert said[0] == said[1] and said[0].startswith("the")
    assert (
        "needs a Hugging Face folder" in luoxia_command("sample", "run", "adapter=run/model/adapter").stderr
    )


@pytest.mark.parametrize("lora", [(), ("lora=4", "dropout=0.1")])
def test_a_resumed_run_equals_an_uninterrupted_one(words, luoxia_command, lora):
    save_model(Path("model"))
    common = ("finetune", "model", "data=words.txt", *SMALL, *lora, "lr=1e-3", "schedule.name=constant")
    for out, steps in (("whole", 9), ("parts", 4)):
        result = luoxia_command(*common, f"steps={steps}", f"out={out}")
        assert result.exit_code == 0, result.stderr
    assert luoxia_command("resume", "parts", "steps=9").exit_code == 0
    whole, parts = state("whole"), state("parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not torch.equal(*(m["stack.layers.0.feed_forward.up.weight"] for m in (whole, state("model"))))
    assert Path("parts/checkpoints/frozen.safetensors").is_file() == bool(lora)
    names = load_file(next(Path("parts/checkpoints").glob("step_*/decoder.safetensors")))
    assert ("embedding.tokens.weight" in names) == (not lora)  # under adapters it lies once, beside the steps


@pytest.mark.parametrize("lora", [(), ("lora=4",)])
def test_a_run_is_resumed_without_the_model_it_began_from(words, luoxia_command, lora):
    save_model(Path("model"))
    common = ("finetune", "model", "data=words.txt", *SMALL, *lora, "lr=1e-3", "schedule.name=constant")
    for out, steps in (("whole", 6), ("parts", 3)):
        assert luoxia_command(*common, f"steps={steps}", f"out={out}").exit_code == 0
    Path("model").rename("elsewhere")
    result = luoxia_command("resume", "parts", "steps=6")
    assert result.exit_code == 0, result.stderr
    whole, parts = state("whole"), state("parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("family", ["GPT2", "Mistral"])
def test_it_goes_back_to_the_architecture_it_came_from(words, luoxia_command, family):
    save_model(Path("model"), family)
    Path("model/chat_template.jinja").write_text("{{ messages }}")
    asked = ("steps=2", "lora=2", "out=run")
    assert luoxia_command("finetune", "model", "data=words.txt", *SMALL, *asked).exit_code == 0
    again = ("finetune", "run", "data=words.txt", *SMALL, "steps=2", "out=twice")
    assert luoxia_command(*again).exit_code == 0
    result = luoxia_command("export", "twice", "out=given")
    assert result.exit_code == 0, result.stderr
    theirs = transformers.AutoModelForCausalLM.from_pretrained("given").eval()
    assert type(theirs).__name__.startswith(family)
    assert Path("given/chat_template.jinja").read_text() == "{{ messages }}"
    ids = transformers.AutoTokenizer.from_pretrained("given")("the cat", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(luoxia.load("twice").logits(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def test_a_run_of_ours_is_gone_on_with(words, luoxia_command):
    own = ("layers=1", "heads=2", "width=16", "tokenizer=character", "steps=3", "out=first")
    assert luoxia_command("train", "gpt", "data=words.txt", *SMALL, *own).exit_code == 0
    run = luoxia.finetune("first", data="words.txt", steps=2, batch=4, lora=2, out="second", score_samples=0,
                          device="cpu", quiet=True)  # fmt: skip
    assert luoxia.load(run.path).tokenizer.kind == "character"
    config = run.manifest["config"]
    assert (config["context"], config["optimizer"]["name"]) == (24, "adamw")
    assert not Path("second/model/adapter").exists()  # PEFT's toolkit has no such architecture
    assert Path(config["init"]) == Path("first").resolve()


def test_the_defaults_are_those_of_fine_tuning():
    full, adapted = (GPT.from_settings({"init": "model", **more}) for more in ({}, {"lora": 8}))
    assert (full.lr, adapted.lr, full.steps) == (6.25e-5, 2e-4, 1000)
    assert (full.optimizer.name, full.schedule.name, full.schedule.warmup) == ("adamw", "cosine", 50)
    assert GPT.from_settings({"init": "model", "lr": 1e-3, "budget": "1m"}).lr == 1e-3
    assert "steps" not in GPT.from_settings({"init": "model", "budget": "1m"}).model_fields_set
    assert GPT.from_settings(adapted.model_dump()) == adapted


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("layers=3",), "layers= is that of the model"),
        (("tokenizer=byte",), "tokenizer= is that of the model"),
        (("tokenizer=bpe",), "tokenizer= is that of the model"),
        (("lora_alpha=8",), "lora_alpha= needs lora="),
        (("lora=-1",), "lora=-1"),
        (("context=65",), "65 tokens in a row"),
        (("data=nowhere.txt",), "there is nothing at nowhere.txt"),
    ],
)
def test_bad_settings_are_one_sentence(words, refused, settings, told):
    save_model(Path("model"))
    data = () if settings[0].startswith("data=") else ("data=words.txt",)
    assert told in refused(2, "finetune", "model", *data, "steps=1", "device=cpu", "out=run", *settings)
    assert not Path("run").exists()


def test_what_cannot_be_gone_on_with_is_one_sentence(here, words, refused, finished):
    assert "give a folder, a zip" in refused(2, "finetune", finished, "data=words.txt")
    assert "nowhere" in refused(2, "finetune", "nowhere", "data=words.txt")
    assert "lora= adapts a trained model" in refused(2, "train", "gpt", "data=words.txt", "lora=4", "out=run")
