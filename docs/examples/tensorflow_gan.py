"""A GAN in TensorFlow, on Luoxia's data and measured by Luoxia's scores.

The train step is the textbook's: two gradient tapes, one for each network, both on the same generated images.

    python tensorflow_gan.py --data photos/ --size 32 --steps 2000
"""

from __future__ import annotations

import argparse

import numpy as np
import tensorflow as tf

import luoxia
from luoxia.media.image.images import ImageDataset

LATENT, BATCH = 64, 64


def make_generator(height: int, width: int, channels: int) -> tf.keras.Model:
    """z (n, 64) → images (n, height, width, channels) in [-1, 1]; sides are multiples of 4."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((LATENT,)),
            tf.keras.layers.Dense(height // 4 * (width // 4) * 128, use_bias=False),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.ReLU(),
            tf.keras.layers.Reshape((height // 4, width // 4, 128)),
            tf.keras.layers.Conv2DTranspose(64, 4, strides=2, padding="same", use_bias=False),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.ReLU(),
            tf.keras.layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation="tanh"),
        ]
    )


def make_discriminator(height: int, width: int, channels: int) -> tf.keras.Model:
    """Images → logits (n, 1): no sigmoid, the loss has it."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((height, width, channels)),
            tf.keras.layers.Conv2D(64, 4, strides=2, padding="same"),
            tf.keras.layers.LeakyReLU(0.2),
            tf.keras.layers.Conv2D(128, 4, strides=2, padding="same"),
            tf.keras.layers.LeakyReLU(0.2),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dropout(0.3),
            tf.keras.layers.Dense(1),
        ]
    )


def cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    """The mean of -log σ(logits) for target 1, of -log(1 - σ(logits)) for 0."""
    targets = tf.fill(tf.shape(logits), target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))


class GAN:
    """Both networks, their optimizers, and the step that trains them against each other."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.generator = make_generator(height, width, channels)
        self.discriminator = make_discriminator(height, width, channels)
        self.generator_optimizer = tf.keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.discriminator_optimizer = tf.keras.optimizers.Adam(2e-4, beta_1=0.5)

    @tf.function
    def train_step(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One update of each network, on images (n, height, width, channels) in [-1, 1]; returns both losses."""
        noise = tf.random.normal([tf.shape(images)[0], LATENT])
        with tf.GradientTape() as gen_tape, tf.GradientTape() as disc_tape:
            generated = self.generator(noise, training=True)
            real_output = self.discriminator(images, training=True)
            fake_output = self.discriminator(generated, training=True)
            gen_loss = cross_entropy(fake_output, 1.0)
            disc_loss = cross_entropy(real_output, 1.0) + cross_entropy(fake_output, 0.0)
        weights = self.generator.trainable_variables
        self.generator_optimizer.apply_gradients(
            zip(gen_tape.gradient(gen_loss, weights), weights, strict=True)
        )
        weights = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply_gradients(
            zip(disc_tape.gradient(disc_loss, weights), weights, strict=True)
        )
        return gen_loss, disc_loss

    def sample(self, n: int) -> np.ndarray:
        """n images, uint8 (n, height, width, channels)."""
        parts = [self.generator(tf.random.normal([min(100, n - i), LATENT])) for i in range(0, n, 100)]
        return np.clip(np.rint((np.concatenate(parts) + 1) * 127.5), 0, 255).astype(np.uint8)


def train(dataset: ImageDataset, steps: int) -> GAN:
    """Shuffled batches of the data set's images, which stay bytes until the step needs them."""
    gan = GAN(*dataset.images.shape[1:])
    rng = np.random.default_rng(0)
    for step in range(1, steps + 1):
        rows = np.sort(rng.choice(len(dataset), min(BATCH, len(dataset)), replace=False))
        gen_loss, disc_loss = gan.train_step(tf.cast(dataset.images[rows], tf.float32) / 127.5 - 1)
        if step % 100 == 0 or step == steps:
            print(f"step {step:,}: generator {gen_loss:.3f}, discriminator {disc_loss:.3f}", flush=True)
    return gan


def main() -> None:
    """Train, and print Luoxia's scores of the samples."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", help="images; the 5,000 embedded digits if unset")
    parser.add_argument("--size", help="pixels, a multiple of 4; from the data if unset")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=2000)
    given = parser.parse_args()
    tf.random.set_seed(0)
    dataset = luoxia.open_images(given.data, given.size)
    gan = train(dataset, given.steps)
    measurement = luoxia.measure(data=gan.sample(given.samples), against=dataset)
    for score in measurement.scores:
        print(score)


if __name__ == "__main__":
    main()
