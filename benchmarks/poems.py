"""Tang quatrains by form and author: ``gpt`` with conditions, free and held to the form.

It learns from ``--train``, JSON lines of form, author and text, in characters. The poems of ``--val`` are predicted,
and then written anew under their own conditions: one text for each, of seed 0. A poem keeps its form when it has four
lines of five or of seven characters, as its condition says, each with its mark, and nothing else. How much is copied
is asked of all training poems: the longest run of characters that a poem shares with any of them, and the lines that
are lines of theirs. The last row asks the same of the real poems of ``--val``. An author whose name has a character
that was never learned is left out when writing.
"""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import arguments, header, progress, table

FIELDS = "form,author"
SETTINGS = {
    "tokenizer": "character",
    "size": "tiny",
    "layers": 4,
    "heads": 4,
    "width": 192,
    "context": 64,
    "batch": 16,
    "steps": 1500,
    "holdout": 0,
    "sample_every": 0,
    "score_samples": 0,
    "device": "cpu",
}
SHOWN = 3


@dataclass
class Poems:
    """Texts and the conditions they were written for."""

    name: str
    texts: list[str]
    conditions: list[dict[str, str]]
    seconds: float | None = None

    def kept(self) -> float:
        """The share that keeps the form exactly."""
        from luoxia.tasks.language_modeling.poems import Form

        pairs = zip(self.texts, self.conditions, strict=True)
        return sum(keeps_form(text, Form.named(c["form"])) for text, c in pairs) / len(self.texts)

    def row(self, training: list[str]) -> list[str]:
        """Form and overlap, as the table shows them."""
        from luoxia.metrics.overlap import longest_overlaps

        runs = longest_overlaps(self.texts, training).lengths
        known = {line for text in training for line in lines(text)}
        written = [line for text in self.texts for line in lines(text)]
        copied = sum(line in known for line in written) / max(1, len(written))
        each = "—" if self.seconds is None else f"{1000 * self.seconds / len(self.texts):.0f} ms"
        return [
            self.name,
            f"{self.kept():.1%}",
            f"{runs.mean():.1f}",
            str(runs.max()),
            f"{copied:.1%}",
            each,
        ]


def lines(text: str) -> list[str]:
    """The lines of a poem, without their marks."""
    return [line for line in re.split(r"[，。！？；\s]", text) if line]


def read(path: str) -> tuple[list[str], list[dict[str, str]]]:
    """Texts and conditions of a file."""
    from luoxia.media.text.sources import read_texts

    documents = list(read_texts(path, condition=FIELDS.split(",")).documents())
    return [document.text for document in documents], [dict(document.fields) for document in documents]


def stated(model: Any, condition: dict[str, str]) -> dict[str, str]:
    """A condition without the author where a character of the name is in no training poem or name."""
    unknown = model.tokenizer.unk in model.tokenizer.encode(condition["author"])
    return {"form": condition["form"]} if unknown else condition


def write(model: Any, conditions: list[dict[str, str]], temperature: float, *, held: bool) -> Poems:
    """A poem for each condition, free or held to its form; those of one form are written together."""
    from luoxia.decoding.loop import Decoding

    decoding = Decoding(max_tokens=60, temperature=temperature)
    texts, began = [""] * len(conditions), time.perf_counter()
    for form in sorted({condition["form"] for condition in conditions}):
        chosen = [i for i, condition in enumerate(conditions) if condition["form"] == form]
        written = model.sample(
            len(chosen),
            seed=0,
            condition=[stated(model, conditions[i]) for i in chosen],
            constraint=model.rule(poem=form) if held else None,
            decoding=decoding,
        )
        for i, text in zip(chosen, written, strict=True):
            texts[i] = text
    name = "held to the form" if held else "free"
    return Poems(name, texts, conditions, time.perf_counter() - began)


def predict(run: Any, path: str, texts: list[str]) -> tuple[float, float]:
    """(bits per character, nats a token) of the texts of a file under their conditions."""
    from luoxia import measure

    scores = {score.name: score for score in measure(run.path, data=path).scores}
    per_byte = scores["bits per byte"]
    size = per_byte.signature["bytes"]
    assert isinstance(size, int)
    return per_byte.value * size / sum(map(len, texts)), scores["nats per token"].value


def keeps_form(text: str, form: Any) -> bool:
    """Whether a text is one whole poem of a form and nothing else; spaces and line breaks do not count."""
    hypotheses = form.start()
    characters = "".join(text.split())
    for place, character in enumerate(characters):
        after = form.advance(place, hypotheses, character)
        if after is None:
            return False
        hypotheses = after
    return len(characters) == form.size


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--train", required=True, help="JSON lines of form, author, text to learn from")
    parser.add_argument("--val", required=True, help="as many again that are not learned from")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("settings", nargs="*", help="key=value for the training")
    asked = parser.parse_args()
    import luoxia
    from luoxia.core.settings import parse_settings

    settings = {
        **SETTINGS,
        **({"steps": 20, "width": 64} if asked.quick else {}),
        **parse_settings(asked.settings),
    }
    header("Poems", asked.quick)
    training, _ = read(asked.train)
    real, conditions = read(asked.val)
    if asked.quick:
        conditions, real = conditions[:20], real[:20]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = luoxia.train(
            "gpt", data=asked.train, condition=FIELDS, out=str(Path(folder) / "run"), **settings
        )
        trained = time.perf_counter() - began
        bits, nats = predict(run, asked.val, read(asked.val)[0])
        model = luoxia.load(run.path)
    progress("writing")
    free, held = (write(model, conditions, asked.temperature, held=held) for held in (False, True))
    known = set("".join(training))
    unseen = sum(character not in known for character in "".join(real)) / len("".join(real))
    size = sum(parameter.numel() for parameter in model.network.parameters())
    print(
        f"{size / 1e6:.1f}M parameters, {settings['steps']:,} steps in {trained:.0f} s. The poems of val: "
        f"{bits:.2f} bits a character ({nats:.2f} nats a token, the end counted; {unseen:.2%} of the characters "
        f"are in no training poem). Temperature {asked.temperature:g}.\n"
    )
    heads = ("poems", "keep the form", "run shared, mean", "longest", "lines copied", "time a poem")
    table(heads, [poems.row(training) for poems in (free, held, Poems("real, of val", real, conditions))])
    print(f"The first {SHOWN} that were held to the form:\n")
    for text, condition in list(zip(held.texts, conditions, strict=True))[:SHOWN]:
        print(f"> {condition['form']}, {condition['author']}: {text}\n>")


if __name__ == "__main__":
    main()
