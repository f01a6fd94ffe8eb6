"""Training a text classifier: held-out texts and what it says of them, accuracy and F1, the confusion matrix."""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from luoxia.core.cells import whole_number
from luoxia.core.errors import UsageError
from luoxia.core.files import write_file
from luoxia.core.names import many
from luoxia.core.order import spread
from luoxia.core.stratified import stratified_split
from luoxia.media.text.corpus import LabeledCorpus, open_labeled_corpus
from luoxia.media.text.labeled import LabeledBatches, LabeledDataset
from luoxia.media.text.sources import TextSource, read_texts
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.metrics.classification import Classification, measure_classification
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.tasks.menu import ClassifyText
from luoxia.tasks.shared.supervised import ExaminedSession, Examples, Indices
from luoxia.tasks.shared.token_model import TokenModel
from luoxia.tasks.text_classification.model import TextClassifier
from luoxia.tasks.text_classification.objective import LabeledTexts
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Rng

SAMPLES, CHARACTERS = 12, 300
"""Texts in a sample, always the same of those held out, and how much is shown of each."""
OBSERVED = 256
"""Texts of either side that the doctor's statistics are of."""


class ClassificationSession(ExaminedSession):
    """The training of a text classifier."""

    exported: ClassVar[str] = "text classifier"
    network: ClassVar[str] = "classifier"
    model: ClassVar[type[TokenModel[Any]]] = TextClassifier
    unit: ClassVar[str] = "tokens"
    quick: ClassVar[int] = 1000
    batching: ClassVar[type[Any]] = LabeledBatches
    examples: ClassVar[type[Any]] = LabeledTexts
    told: ClassVar[tuple[str, str, str]] = (
        "A text classifier",
        '.classify(["A text."])',
        "It gives every text one of its classes, also where none fits.",
    )
    recipe: ClassifyText
    dataset: LabeledCorpus

    @staticmethod
    def open_data(recipe: ClassifyText, display: Display | None = None) -> LabeledCorpus:
        """The texts that ``data`` names, with the classes that folders or ``label`` name."""
        if recipe.data is None:
            raise UsageError(
                "classify-text needs data=FOLDER_OF_CLASS_FOLDERS, or data=FILE.jsonl label=FIELD"
            )
        return open_labeled_corpus(
            recipe.data,
            recipe.text,
            recipe.label,
            recipe.tokenizer,
            recipe.vocabulary,
            recipe.allow_skipped,
        )

    @staticmethod
    def announce(dataset: LabeledCorpus) -> str:
        """Texts, classes and vocabulary."""
        kind, size = dataset.tokenizer.kind, dataset.tokenizer.vocabulary
        classes = f"{len(dataset.data.classes):,} classes"
        return f"{many(len(dataset), 'text')} of {classes} ({kind}, {size:,} tokens in all), {dataset.source}"

    def observe(self, rng: Rng) -> tuple[LabeledTexts, LabeledTexts | None]:
        """Some texts of either side, of any length; the held-out ones are always the same."""
        rows = rng.integers(0, len(self.train_indices), OBSERVED).cpu().numpy()
        heldout = spread(self.heldout_indices, OBSERVED)
        return self.gather(self.train_indices[rows]), self.gather(heldout) if len(heldout) else None

    # ------------------------------------------------------------------ examples

    @staticmethod
    def open_source(recipe: ClassifyText, data: str | None, against: str | None) -> TextSource:
        """Labeled texts."""
        place = recipe.data if data is None else data
        source = read_texts(place, target=recipe.text, label=recipe.label, allow_skipped=recipe.allow_skipped)
        if not source.labeled:
            raise UsageError(f"{source.title} has no labels: give a folder of class folders")
        return source

    @staticmethod
    def read_examples(source: TextSource) -> Examples:
        """All texts and the names of their classes."""
        documents = list(source.documents())
        return [document.text for document in documents], [document.label or "" for document in documents]

    @staticmethod
    def open_corpus(source: TextSource, tokenizer: Tokenizer) -> LabeledCorpus:
        """The texts in tokens."""
        return LabeledCorpus(LabeledDataset.open(source, tokenizer), tokenizer)

    @staticmethod
    def split(corpus: LabeledCorpus, recipe: ClassifyText) -> tuple[Indices, Indices]:
        """Of each class the same share."""
        return stratified_split(corpus.data.labels, recipe.holdout, recipe.seed)

    # ------------------------------------------------------------------ samples and scores

    def sample(self, step: int) -> None:
        """Some held-out texts, what the model says of them, and what is right."""
        chosen = spread(self.heldout_indices if len(self.heldout_indices) else self.train_indices, SAMPLES)
        texts, classes = self.dataset.texts(chosen)
        found = self.generator().classify(texts)
        rows = [
            f"{text[:CHARACTERS]}\n→ {said} {sure:.0%}\n= {right}"
            for text, (said, sure), right in zip(texts, found, classes, strict=True)
        ]
        write_file(self.run.path / "samples" / f"step_{step:06d}.txt", "\n\n".join(rows) + "\n")

    @staticmethod
    def examine(
        model: TextClassifier, questions: Sequence[str], answers: Sequence[str], **asked: Any
    ) -> Classification:
        """Accuracy, F1 and calibration; ``UsageError`` for a class that the model does not know."""
        number = {whole_number(name): index for index, name in enumerate(model.classes)}
        number |= {name: index for index, name in enumerate(model.classes)}
        answers = [answer if answer in number else whole_number(answer) for answer in answers]
        unknown = next((answer for answer in answers if answer not in number), None)
        if unknown is not None:
            known = ", ".join(model.classes[:20])
            raise UsageError(
                f"the data has the class '{unknown}', which this model does not know; it knows {known}"
            )
        probabilities = model.probabilities(questions)
        return measure_classification(
            probabilities.argmax(1),
            np.array([number[answer] for answer in answers]),
            classes=model.classes,
            probabilities=probabilities,
            data=asked["name"],
            seed=asked["seed"],
        )

    @staticmethod
    def watched(measurement: Classification) -> QuickScore:
        """The doctor watches the share of wrong answers; within its interval it may be chance."""
        accuracy = measurement["accuracy"]
        noise = ((accuracy.high or accuracy.value) - (accuracy.low or accuracy.value)) / 2
        shown = [measurement["accuracy"].as_dict(), measurement["macro F1"].as_dict()]
        return QuickScore(shown, 1 - accuracy.value, noise, {}, "share of wrong answers")

    @staticmethod
    def keep(run: Run, measurement: Classification) -> None:
        """The confusion matrix, as ``scores/confusion.csv``: a row a true class, a column a predicted one."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["true \\ predicted", *measurement.classes])
        for name, row in zip(measurement.classes, measurement.confusion.tolist(), strict=True):
            writer.writerow([name, *row])
        write_file(run.path / "scores" / "confusion.csv", table.getvalue())

    @classmethod
    def open_model(cls, recipe: Any, config: dict[str, Any], *given: Any, **common: Any) -> Any:
        """The classifier, with the names of its classes."""
        return super().open_model(recipe, config, *given, classes=config.get("classes", []), **common)

    def generator(self) -> TextClassifier:
        """What is sampled and measured: a copy, for models in use do not train."""
        network: Any = copy.deepcopy(self.averaged(self.network))
        return TextClassifier(
            network,
            self.dataset.tokenizer,
            classes=self.dataset.data.classes,
            details=self.details(),
            device=self.world.device,
        )

    def describe_model(self) -> dict[str, Any]:
        """The vocabulary and the classes."""
        return super().describe_model() | {"classes": list(self.dataset.data.classes)}

    def describe_data(self) -> dict[str, Any]:
        """The texts, for run.json."""
        return self.describe_tokens() | {
            "task": "classification",
            "classes": list(self.dataset.data.classes),
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "cut": self.batches.cut,
            "skipped": self.dataset.data.skips.count,
        }
