"""What the scores of older records tell: these were written without their meaning."""

from __future__ import annotations

from luoxia.metrics.score import HIGHER, LOWER, Meaning

_MEANINGS = {
    "fd": LOWER("Distance between the feature statistics of generated and real samples."),
    "fid": LOWER("Distance between the Inception statistics of generated and real samples."),
    "kid": LOWER("Kernel distance between generated and real features; unbiased for few samples."),
    "precision": HIGHER("Share of generated samples that lie among the real ones."),
    "recall": HIGHER("Share of real samples that lie among the generated ones."),
    "density": HIGHER("How densely real samples surround the generated ones; 1 is like the data."),
    "coverage": HIGHER("Share of real samples with a generated one nearby: falls when modes are lost."),
    "class": LOWER("How far the mix of classes is from the data's; 0 is the same mix."),
    "classes": HIGHER("How many of the data's classes the samples reach."),
    "confidence": HIGHER("How sure a classifier trained on the data is about the samples."),
    "confident": HIGHER("Share of samples of which that classifier is sure."),
    "outliers": LOWER("Share of samples farther from the training set than 99% of real ones are."),
    "nn": Meaning("Distance to the nearest training sample; 1 is as for a real one, 0 a copy."),
    "duplicates": LOWER("Share of samples that nearly repeat another sample."),
    "copy": LOWER("Share of samples as close to a training sample as a copy would be."),
    "novelty": Meaning("How far samples are from their nearest training sample."),
    "diversity": HIGHER("How different samples are from each other."),
    "accuracy": HIGHER("Share of samples that a classifier puts into the right class."),
    "macro": HIGHER("F1 of all classes on average, rare ones counting as much as frequent ones."),
    "f1": HIGHER("Harmonic mean of precision and recall for this class."),
    "calibration": LOWER("How far the probabilities are from the share of answers that are right."),
    "retrieval@1": HIGHER("Share of examples whose counterpart is the nearest of all."),
    "mrr": HIGHER("Mean of 1 / rank of the counterpart among all, the nearest first."),
    "bleu": HIGHER("Words and phrases shared with a person's translation, 0 to 100."),
    "chrf": HIGHER("Characters and their sequences shared with a person's translation, 0 to 100."),
    "cycle": LOWER("Mean difference of a sample from itself there and back, of 255 levels."),
    "empty": LOWER("Share of translations without a word."),
}
_ALIASES = {"memorised": "copy", "memorized": "copy", "neighbour": "nn", "histogram": "class"}


def old_meaning(name: str) -> Meaning:
    """The meaning of a score of this name; an empty one where the name is not known.

    >>> old_meaning("FD-effnet-lite0").better, old_meaning("class_histogram").better
    ('lower', 'lower')
    """
    first = name.lower().replace("_", " ").replace("-", " ").partition(" ")[0]
    return _MEANINGS.get(_ALIASES.get(first, first), Meaning())
