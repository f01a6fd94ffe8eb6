"""Folders of the field's models as a user meets them: loaded, sampled, exported, and damaged."""

import json
from pathlib import Path

import pytest
import torch
from foreign import FAMILIES, change_config, change_header, change_tensors, save_model, transformers

import luoxia
from luoxia.core.errors import UsageError
from luoxia.interchange.huggingface import load_folder

IDS = [[5, 17, 200, 3, 41], [7, 7, 99, 270, 12]]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_gives_the_toolkits_own_numbers(here, family):
    theirs = save_model(here / "model", family)
    with torch.no_grad():
        wanted = theirs(torch.tensor(IDS))
    model = luoxia.load(here / "model")
    if family == "Bert":
        found, reference = model.hidden(IDS), wanted.last_hidden_state
    else:
        found, reference = model.logits(IDS), wanted.logits
    torch.testing.assert_close(found, reference, atol=1e-4, rtol=0)
    assert model.tokenizer.decode(model.tokenizer.encode("the cat sat, naïve")) == "the cat sat, naïve"
    again = transformers.AutoTokenizer.from_pretrained(here / "model")
    assert model.tokenizer.encode("the cat sat") == again("the cat sat", add_special_tokens=False).input_ids


def test_it_writes_what_the_toolkit_writes(here, luoxia_command):
    theirs = save_model(here / "model", "Llama", bos=True)
    again = transformers.AutoTokenizer.from_pretrained(here / "model")
    asked = again("the dog", return_tensors="pt")
    assert asked.input_ids[0, 0] == 1  # <s>, which belongs before every text
    unknown = list(range(270, 300))  # the network's, which the tokenizer lacks
    with torch.no_grad():
        wanted = theirs.generate(**asked, max_new_tokens=12, do_sample=False, suppress_tokens=unknown)[0]
    result = luoxia_command(
        "sample", "model", "prompt=the dog", "max_tokens=12", "temperature=0", "out=a.jsonl"
    )
    assert result.exit_code == 0, result.stderr
    row = json.loads(Path("a.jsonl").read_text("utf-8"))
    label = row["luoxia"]
    assert (label["recipe"], label["run"], len(label["model"])) == ("llama", "model", 64)
    assert "the dog" + row["text"] == again.decode(wanted, skip_special_tokens=True)
    said = luoxia_command("sample", "model", "prompt=the dog", "max_tokens=12", "temperature=0").stdout
    assert said == f"the dog{row['text']}\n"


def test_tokens_that_the_tokenizer_lacks_are_never_chosen(here):
    save_model(here / "model")
    change_tensors(here / "model", lambda t: t["transformer.wte.weight"][270:].mul_(100))
    model = luoxia.load(here / "model")
    assert model.network.config.vocabulary == 300 and model.tokenizer.vocabulary == 270
    assert model.logits(IDS)[..., 270:].abs().max() > 50
    assert all(max(c.ids) < 270 for c in model.completions(8, prompt="a") if c.ids)


def test_a_folder_without_its_tokenizer(here, refused):
    theirs = save_model(here / "model", text=False)
    model = luoxia.load(here / "model")
    with torch.no_grad():
        torch.testing.assert_close(model.logits(IDS), theirs(torch.tensor(IDS)).logits, atol=1e-4, rtol=0)
    assert "no tokenizer.json" in refused(2, "sample", "model", "prompt=hello")
    (here / "words.txt").write_text("the cat " * 200)
    assert "no tokenizer.json" in refused(2, "finetune", "model", "data=words.txt", "out=run")
    assert not Path("run").exists()


def test_eight_bits_are_close_and_smaller(here, luoxia_command):
    save_model(here / "model", "Qwen2")
    whole, small = luoxia.load(here / "model"), luoxia.load(here / "model").lighten(int8=True)
    size = [sum(t.nbytes for t in m.network.state_dict().values()) for m in (whole, small)]
    assert size[1] < 0.6 * size[0]  # all but the embedding and the norms
    exact, rounded = whole.logits(IDS), small.logits(IDS)
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.03
    half = luoxia.load(here / "model").lighten(bf16=True)
    assert half.network.embedding.tokens.weight.dtype == torch.bfloat16
    assert 0 < (half.logits(IDS) - exact).norm() / exact.norm() < 0.05
    for more in ("int8=true", "precision=bf16"):
        result = luoxia_command("sample", "model", "prompt=the", "max_tokens=5", more)
        assert result.exit_code == 0 and result.stdout.startswith("the"), result.stderr


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([[1, 300]], "the token 300 is outside this model's vocabulary, 0 to 299"),
        ([[-1]], "the token -1 is outside"),
        ([[1, 2], [3]], "all of one length"),
        ([["a"]], "whole numbers"),
        ([[0.5]], "whole numbers"),
        ([1, 2], "shape (batch, length)"),
        ([[]], "shape (batch, length)"),
        ([[1] * 65], "65 tokens in a row"),
    ],
)
def test_ids_that_are_no_tokens(here, ids, told):
    save_model(here / "model", text=False)
    with pytest.raises(UsageError) as caught:
        luoxia.load(here / "model").logits(ids)
    assert told in str(caught.value)


# ------------------------------------------------------------------ export


@pytest.mark.parametrize("tokens", ["byte", "bpe"])
def test_a_run_of_the_classic_style_is_exported(here, luoxia_command, tokens):
    (here / "words.txt").write_text("the cat sat on the mat. " * 200)
    settings = ("style=gpt2", "layers=1", "heads=2", "width=16", "context=32", "batch=4", "steps=3")
    kind = (f"tokenizer={tokens}", "vocabulary=290", "score_samples=0", "device=cpu", "out=run")
    assert luoxia_command("train", "gpt", "data=words.txt", *settings, *kind).exit_code == 0
    result = luoxia_command("export", "run", "format=huggingface", "out=given", "--json")
    made = json.loads(result.stdout)
    assert "given/model.safetensors" in made["out"] and made["label"] is None
    model = luoxia.load("run")
    theirs = transformers.AutoModelForCausalLM.from_pretrained("given").eval()
    again = transformers.AutoTokenizer.from_pretrained("given")
    ids = model.tokenizer.encode("the cat, naïve")
    assert again("the cat, naïve", add_special_tokens=False).input_ids == ids
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids])).logits
    torch.testing.assert_close(model.logits([ids]), wanted, atol=1e-4, rtol=0)
    assert luoxia.load("given").sample(1, 3, prompt="the") == model.sample(1, 3, prompt="the")


def test_what_cannot_be_exported_is_one_sentence(here, luoxia_command, refused, finished):
    (here / "words.txt").write_text("the cat sat on the mat. " * 200)
    small = ("layers=1", "heads=2", "width=16", "context=32", "batch=4", "steps=2", "score_samples=0")
    luoxia_command("train", "gpt", "data=words.txt", *small, "tokenizer=byte", "device=cpu", "out=run")
    assert "style=gpt2" in refused(2, "export", "run", "out=given")
    assert not Path("given").exists()
    assert "out=FOLDER" in refused(2, "export", "run")
    assert "format=onnx" in refused(2, "export", "run", "format=onnx", "out=given")
    assert "must be FILE.onnx" in refused(2, "export", finished, "out=given")
    assert "nowhere" in refused(2, "export", "nowhere", "out=given")
    save_model(here / "model")
    Path("taken").mkdir()
    Path("taken", "file").touch()
    assert "taken already exists" in refused(2, "export", "model", "out=taken")


# ------------------------------------------------------------------ damaged folders


def lacking(tensors):
    del tensors["transformer.h.1.mlp.c_fc.weight"]


def additional(tensors):
    tensors["transformer.h.2.mlp.c_fc.weight"] = torch.zeros(2, 2)


def misshapen(tensors):
    tensors["transformer.h.0.ln_1.weight"] = torch.zeros(31)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lacking, "lacks the tensors h.1.mlp.c_fc.weight"),
        (additional, "has, beyond what its config.json describes, the tensors h.2.mlp.c_fc.weight"),
        (misshapen, "h.0.ln_1.weight [31] instead of [32]"),
    ],
)
def test_wrong_tensors_are_one_sentence(here, refused, change, told):
    save_model(here / "model")
    change_tensors(here / "model", change)
    assert told in refused(1, "sample", "model", "prompt=a")
    assert told in refused(1, "export", "model", "out=given")


def overlapping(header):
    first, second = (name for name in header if name != "__metadata__" and "ln_1.weight" in name)
    header[second]["data_offsets"] = header[first]["data_offsets"]


def beyond(header):
    name = max((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][1])
    start, stop = header[name]["data_offsets"]
    header[name]["data_offsets"] = [start + 2**40, stop + 2**40]


@pytest.mark.parametrize(
    ("change", "length", "told"),
    [
        (lambda header: None, 2**63, "its header claims 9,223,372,036,854,775,808 bytes"),
        (overlapping, None, "overlaps the tensor before it"),
        (beyond, None, "the file is cut off"),
        (
            lambda header: header.update(x={"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}),
            None,
            "x",
        ),
    ],
)
def test_malicious_headers_are_one_sentence(here, refused, change, length, told):
    save_model(here / "model")
    change_header(here / "model", change, length)
    sentence = refused(1, "sample", "model", "prompt=a")
    assert told in sentence and "model.safetensors" in sentence


@pytest.mark.parametrize(
    ("values", "code", "told"),
    [
        ({"model_type": "mamba"}, 2, "the architecture 'mamba' is not supported, only gpt2, llama"),
        ({"model_type": None}, 2, "the architecture 'None' is not supported"),
        ({"n_layer": 10**9}, 1, "1,000,000,000 layers"),
        ({"n_head": "two"}, 1, "n_head must be a whole number"),
        ({"quantization_config": {"bits": 4}}, 2, "quantized weights"),
    ],
)
def test_configs_that_cannot_be_read_are_one_sentence(here, refused, values, code, told):
    save_model(here / "model")
    change_config(here / "model", **values)
    assert told in refused(code, "sample", "model", "prompt=a")


def test_pickles_are_never_opened(here, refused):
    save_model(here / "model")
    Path("model", "model.safetensors").rename("model/pytorch_model.bin")
    assert "a pickle that could run code" in refused(2, "sample", "model", "prompt=a")


def test_an_encoder_writes_nothing(here, refused):
    save_model(here / "model", "Bert")
    assert "cannot generate text" in refused(2, "sample", "model", "prompt=a")
    (here / "words.txt").write_text("the cat " * 200)
    assert "is an encoder" in refused(2, "finetune", "model", "data=words.txt")
    assert load_folder(here / "model").kept  # the pooler, for saving it again


def test_it_is_measured_on_text(here, luoxia_command, refused):
    theirs = save_model(here / "model", "Llama")
    text = "the cat sat on the mat."
    Path("text.txt").write_text(text)
    result = luoxia_command("measure", "model", "data=text.txt", "--json")
    assert result.exit_code == 0, result.stderr
    scores = {score["name"]: score for score in json.loads(result.stdout)["scores"]}
    model = luoxia.load("model")
    ids = model.tokenizer.encode(text)
    end = [] if model.tokenizer.eos is None else [model.tokenizer.eos]
    row = torch.tensor([[*ids, *end]])[:, : model.network.config.context + 1]
    with torch.no_grad():
        nll = torch.nn.functional.cross_entropy(theirs(row[:, :-1]).logits[0], row[0, 1:]).item()
    assert scores["perplexity"]["value"] == pytest.approx(torch.tensor(nll).exp().item(), rel=1e-3)
    assert "needs" in refused(2, "measure", "model") or "data=TEXT" in refused(2, "measure", "model")
    assert "n=" in refused(2, "measure", "model", "data=text.txt", "n=5")
    save_model(here / "bert", "Bert")
    assert "is an encoder" in refused(2, "measure", "bert", "data=text.txt")
