"""Training a text classifier: held-out texts and what it says of them, accuracy and F1, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from luoxia.core.cells import whole_number
from luoxia.core.errors import UsageError
from luoxia.core.files import write_file
from luoxia.core.order import spread
from luoxia.core.stratified import stratified_split
from luoxia.formats import csv
from luoxia.media.text.corpus import LabeledCorpus
from luoxia.media.text.labeled import LabeledBatches, LabeledDataset
from luoxia.media.text.sources import TextSource, read_texts
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.metrics.classification import Classification, measure_classification
from luoxia.provenance.label import Label
from luoxia.runs.run import Run
from luoxia.tasks.shared.supervised import Examples, Indices, SupervisedStage, Supervision
from luoxia.tasks.text_classification.model import TextClassifier
from luoxia.tasks.text_classification.objective import LabeledTexts
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Rng

SAMPLES, CHARACTERS = 12, 300
"""Texts in a sample, always the same of those held out, and how much is shown of each."""
OBSERVED = 256
"""Texts of either side that the doctor's statistics are of."""


class ClassificationSupervision(Supervision):
    """Texts with classes."""

    def open(self, recipe: ClassifyText, data: str | None, against: str | None) -> TextSource:
        """Labeled texts."""
        place = recipe.data if data is None else data
        source = read_texts(place, target=recipe.text, label=recipe.label, allow_skipped=recipe.allow_skipped)
        if not source.labeled:
            raise UsageError(f"{source.title} has no labels: give a folder of class folders")
        return source

    def read(self, source: TextSource) -> Examples:
        """All texts and the names of their classes."""
        documents = list(source.documents())
        return [document.text for document in documents], [document.label or "" for document in documents]

    def corpus(self, source: TextSource, tokenizer: Tokenizer) -> LabeledCorpus:
        """The texts in tokens."""
        return LabeledCorpus(LabeledDataset.open(source, tokenizer), tokenizer)

    def split(self, corpus: LabeledCorpus, recipe: ClassifyText) -> tuple[Indices, Indices]:
        """Of each class the same share."""
        return stratified_split(corpus.data.labels, recipe.holdout, recipe.seed)

    def evaluate(
        self,
        model: TextClassifier,
        inputs: Sequence[str],
        targets: Sequence[str],
        *,
        name: str,
        seed: int,
        quick: bool,
    ) -> Classification:
        """Accuracy, F1 and calibration; ``UsageError`` for a class that the model does not know."""
        number = {whole_number(known): index for index, known in enumerate(model.classes)}
        number |= {known: index for index, known in enumerate(model.classes)}
        targets = [target if target in number else whole_number(target) for target in targets]
        unknown = next((target for target in targets if target not in number), None)
        if unknown is not None:
            known = ", ".join(model.classes[:20])
            raise UsageError(
                f"the data has the class '{unknown}', which this model does not know; it knows {known}"
            )
        probabilities = model.probabilities(inputs)
        return measure_classification(
            probabilities.argmax(1),
            np.array([number[target] for target in targets]),
            classes=model.classes,
            probabilities=probabilities,
            data=name,
            seed=seed,
        )

    def watched(self, measurement: Classification) -> QuickScore:
        """The doctor follows the share of wrong answers; within its interval it may be chance."""
        accuracy = measurement["accuracy"]
        noise = ((accuracy.high or accuracy.value) - (accuracy.low or accuracy.value)) / 2
        shown = [measurement["accuracy"].as_dict(), measurement["macro F1"].as_dict()]
        return QuickScore(shown, 1 - accuracy.value, noise, {}, "share of wrong answers")

    def keep(self, run: Run, measurement: Classification) -> None:
        """The confusion matrix, as ``scores/confusion.csv``: a row a true class, a column a predicted one."""
        rows = zip(measurement.classes, measurement.confusion.tolist(), strict=True)
        table = [["true \\ predicted", *measurement.classes], *([name, *row] for name, row in rows)]
        csv.write(table, Label(run=run.name), run.path / "scores" / "confusion.csv")


SUPERVISION = ClassificationSupervision()


class ClassificationStage(SupervisedStage):
    """The training of a text classifier."""

    network: ClassVar[str] = "classifier"
    supervision = SUPERVISION
    quick: ClassVar[int] = 1000
    batching: ClassVar[type[Any]] = LabeledBatches
    examples: ClassVar[type[Any]] = LabeledTexts
    card_text: ClassVar[tuple[str, str, str]] = (
        "A text classifier",
        '.classify(["A text."])',
        "It gives every text one of its classes, also where none fits.",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the texts."""
        return tuple(self.data.data.classes)

    def observe(self, rng: Rng) -> tuple[LabeledTexts, LabeledTexts | None]:
        """Some texts of either side, of any length; the held-out ones are always the same."""
        rows = rng.integers(0, len(self.train_indices), OBSERVED).cpu().numpy()
        heldout = spread(self.heldout_indices, OBSERVED)
        return self.gather(self.train_indices[rows]), self.gather(heldout) if len(heldout) else None

    def preview(self, out: Path) -> None:
        """Some held-out texts, what the model says of them, and what is right."""
        chosen = spread(self.heldout_indices if len(self.heldout_indices) else self.train_indices, SAMPLES)
        texts, classes = self.data.texts(chosen)
        answers = self.model().classify(texts)
        rows = [
            f"{text[:CHARACTERS]}\n→ {answer} {sure:.0%}\n= {right}"
            for text, (answer, sure), right in zip(texts, answers, classes, strict=True)
        ]
        write_file(out.with_suffix(".txt"), "\n\n".join(rows) + "\n")

    def model(self) -> TextClassifier:
        """The classifier of this moment."""
        return TextClassifier(self.network_copy(), self.data.tokenizer, classes=self.classes, **self.common())

    def describe_model(self) -> dict[str, Any]:
        """The vocabulary and the classes."""
        return super().describe_model() | {"classes": list(self.classes)}

    def describe_data(self) -> dict[str, Any]:
        """The texts, for run.json."""
        return super().describe_data() | {
            "task": "classification",
            "classes": list(self.classes),
            "cut": self.batches.cut,
        }
