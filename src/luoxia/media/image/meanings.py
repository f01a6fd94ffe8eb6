"""What each score of images tells, in one plain sentence."""

from luoxia.metrics.score import HIGHER, LOWER, Meaning

MEANINGS = {
    "FD": LOWER("Distance between the feature statistics of generated and real images."),
    "FID": LOWER("Distance between the Inception statistics of generated and real images."),
    "KID": LOWER("Kernel distance between generated and real features; unbiased for few samples."),
    "precision": HIGHER("Share of generated images that lie among the real ones."),
    "density": HIGHER("How densely real images surround the generated ones; 1 is like the data."),
    "confidence": HIGHER("How sure a classifier trained on the data is about the samples."),
    "confident share": HIGHER("Share of samples of which that classifier is sure."),
    "class divergence": LOWER("How far the mix of classes is from the data's; 0 is the same mix."),
    "classes": HIGHER("How many of the data's classes the samples reach."),
    "outliers": LOWER("Share of samples farther from the training set than 99% of real images are."),
    "recall": HIGHER("Share of real images that lie among the generated ones."),
    "coverage": HIGHER("Share of real images with a generated one nearby: falls when modes are lost."),
    "duplicates": LOWER("Share of samples that nearly repeat another sample."),
    "copy rate": LOWER("Share of samples as close to a training image as a copy would be."),
    "nn distance ratio": Meaning(
        "Distance to the nearest training image; 1 is as for a real image, 0 a copy."
    ),
}
"""By name; of those that name an extractor, by what stands before it."""
CYCLE_ERROR = LOWER("Mean difference of an image from itself there and back, of 255 levels.")
