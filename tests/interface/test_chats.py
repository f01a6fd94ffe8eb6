"""Chats: learned in a folder's own template or plainly, and answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import luoxia
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.decoding.loop import Decoding
from luoxia.media.text.chat import ChatTemplate, messages_of, read_messages
from luoxia.media.text.chats import chat_ids
from luoxia.media.text.corpus import corpus_of
from luoxia.media.text.sources import read_texts
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.media.text.tokens import IGNORED

TEMPLATE = """{%- if tools is not none %}{{ raise_exception('tools') }}{% endif -%}
{{ bos_token }}{% for message in messages %}
    {%- if message['role'] == 'robot' %}{{ raise_exception('robots may not speak') }}{% endif %}
    {%- if message.role == 'assistant' %}{% generation %}<s>{{ message['content'] | trim }}{{ eos_token }}
{% endgeneration %}{% continue %}{% endif %}
    <s>{{ message['role'] }} {{ message['content'] | tojson }}{{ eos_token }}
{% endfor %}
{%- if add_generation_prompt %}<s>assistant{% endif %}"""
CHATS = [
    [{"role": "user", "content": f"what is {i}?"}, {"role": "assistant", "content": f" the number {i}"}]
    for i in range(40)
]
SMALL = {"layers": 1, "heads": 2, "width": 32, "context": 64, "batch": 4, "steps": 2, "score_samples": 0}


def put(path: Path, chats: list[Any], field: str = "messages") -> str:
    path.write_text("".join(json.dumps({field: chat}) + "\n" for chat in chats), encoding="utf-8")
    return str(path)


def test_forms_of_messages() -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert messages_of([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]) == said
    assert messages_of([{"role": "user", "content": [{"type": "text", "text": "a"}]}, said[1]]) == said
    for wrong, told in [
        ("a", "no list of messages but a string"),
        ([], "no list of messages"),
        (["a"], "message 1, which is not an object but a string"),
        ([said[0], {"content": "b"}], "message 2 without a role"),
        ([{"role": "user", "content": None}], "message 1 without content"),
        (
            [{"role": "user", "content": [{"type": "image"}]}],
            "message 1 with a list as its content, not text",
        ),
    ]:
        with pytest.raises(ValueError, match=told):
            messages_of(wrong)


def test_what_a_person_gives(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(json.dumps({"messages": CHATS[0]}))
    assert read_messages(str(tmp_path / "chat.json")) == read_messages(json.dumps(CHATS[0])) == CHATS[0]
    with pytest.raises(UsageError, match="cannot be read"):
        read_messages(str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="is no JSON"):
        read_messages("[{")
    with pytest.raises(UsageError, match=r"messages= holds message 1, .*give a list such as"):
        read_messages("[1]")


def test_a_template_reaches_nothing(tmp_path: Path) -> None:
    for source, told in [
        ("{{ ''.__class__.__mro__ }}", "refuses it"),
        ("{% for m in messages %}{{ messages.append(1) }}{% endfor %}", "refuses it"),
        ("{% if %}", "is invalid"),
        ("{{ raise_exception('no') }}", "refuses it: no"),
    ]:
        with pytest.raises(ValueError, match=told):
            ChatTemplate(source).render(CHATS[0])
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(LuoxiaError, match="cannot be read"):
        ChatTemplate.of(tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([], "a list, not an object"),
        (3, "a number, not an object"),
        ({"chat_template": ["a"]}, "must be an object with name and template"),
        ({"chat_template": {"a": "b"}}, "an object, not a text"),
        ({"chat_template": [{"name": "default", "template": 3}]}, "a number, not a text"),
    ],
)
def test_settings_of_wrong_types(tmp_path: Path, settings: Any, told: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(LuoxiaError, match=rf"tokenizer_config.json cannot be read \(.*{told}"):
        ChatTemplate.of(tmp_path)


def test_settings_of_a_tokenizer_that_are_a_list(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("[]")
        with pytest.raises(LuoxiaError, match=f"{name} holds a list, not an object"):
            Tokenizer.from_huggingface(tmp_path)
        (tmp_path / name).unlink()


def test_templates_in_settings(tmp_path: Path) -> None:
    for told in ("a", [{"name": "tool", "template": "b"}, {"name": "default", "template": "a"}]):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": told}), "utf-8-sig")
        assert ChatTemplate.of(tmp_path).source == "a"


def test_chats_are_learned_plainly_and_answered(here: Path, luoxia_command: Any, refused: Any) -> None:
    put(here / "a.jsonl", CHATS)
    run = luoxia.train("gpt", data="a.jsonl", tokenizer="character", device="cpu", quiet=True, **SMALL)
    source = read_texts("a.jsonl")
    text = next(source.documents()).text
    assert text == "user:\nwhat is 0?\n\nassistant:\n the number 0\n\n"
    model = luoxia.load(run.path)
    asked = CHATS[3][:1]
    (answer,) = model.sample(1, messages=asked, decoding=Decoding(temperature=0, max_tokens=8))
    prompt = "user:\nwhat is 3?\n\nassistant:\n"
    assert answer == model.sample(1, prompt=prompt, decoding=Decoding(temperature=0, max_tokens=8))[0]
    told = ("sample", run.path, f"messages={json.dumps(asked)}", "temperature=0", "max_tokens=8")
    assert luoxia_command(*told).stdout.removesuffix("\n") == answer
    assert "without prompt=" in refused(2, *told, "prompt=x")
    assert "no list of messages" in refused(2, *told[:2], "messages={}")


def test_what_cannot_be_learned_as_chats(here: Path) -> None:
    put(here / "a.jsonl", CHATS)
    with pytest.raises(UsageError, match="condition= goes with texts"):
        read_texts("a.jsonl", condition=["form"])
    put(here / "b.jsonl", [*CHATS, [{"role": "user"}]])
    with pytest.raises(
        LuoxiaError, match=r"b\.jsonl:41: the field 'messages' holds message 1 without content"
    ):
        list(read_texts("b.jsonl").documents())
    put(here / "c.jsonl", CHATS, "conversations")
    assert len(list(read_texts("c.jsonl").documents())) == 40


def test_a_folders_own_template(here: Path, luoxia_command: Any) -> None:
    foreign = pytest.importorskip("foreign")
    foreign.save_model(here / "model", "Llama", bos=True)
    (here / "model" / "chat_template.jinja").write_text(TEMPLATE)
    theirs = foreign.transformers.AutoTokenizer.from_pretrained(here / "model")
    template = ChatTemplate.of(here / "model")
    for reply in (False, True):
        wanted = theirs.apply_chat_template(CHATS[5], tokenize=False, add_generation_prompt=reply)
        assert template.render(CHATS[5], reply=reply) == wanted
        ids = theirs.apply_chat_template(CHATS[5], add_generation_prompt=reply, return_dict=False)
        tokenizer = Tokenizer.from_huggingface(here / "model")
        assert chat_ids(tokenizer, wanted, True) == ids
    corpus = corpus_of(read_texts(put(here / "a.jsonl", CHATS), template=template), tokenizer)
    windows = corpus.whole().dataset.rows(corpus.whole().samples[:2], 64)
    first = chat_ids(tokenizer, template.render(CHATS[0]), True)
    assert windows.inputs[0, : len(first) - 1].tolist() == first[:-1]
    assert windows.targets[0, : len(first) - 1].tolist() == first[1:]
    assert (windows.targets[0, len(first) - 1 :] == IGNORED).all() and not windows.segments.any()

    run = luoxia.finetune("model", data="a.jsonl", context=64, batch=4, steps=1, score_samples=0, device="cpu",
                          quiet=True)  # fmt: skip
    model, base = luoxia.load(run.path), luoxia.load("model")
    assert model.chat == base.chat == template
    ids = theirs.apply_chat_template(CHATS[5][:1], add_generation_prompt=True, return_dict=False)
    assert base._reply_ids(CHATS[5][:1], "", None) == ids
    assert luoxia_command("measure", run.path).exit_code == 0
    with pytest.raises(UsageError, match="robots may not speak"):
        model.sample(messages=[{"role": "robot", "content": "x"}])
