"""The network of the extractor ``self``, and how it is trained: seconds on two CPU cores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.media.image.extractors.pixels import channels_last
from luoxia.training.hardware import autocast

WIDTH = 32
BATCH = 128
RATE = 4e-3
HELD_OUT = 0.1  # share of the images that training never sees
EPOCHS = 10
FEWEST, MOST = 10_000, 150_000  # images that training sees, with repeats


class Classifier(nn.Module):
    """Four convolutions, a global average and a linear head."""

    def __init__(self, channels: int, outputs: int, side: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, WIDTH, kernel=5, stride=2 if side >= 24 else 1),
            _conv(WIDTH, 2 * WIDTH, kernel=3, stride=2),
            _conv(2 * WIDTH, 2 * WIDTH, kernel=3, stride=1),
            _conv(2 * WIDTH, 4 * WIDTH, kernel=3, stride=2),
        )
        self.head = nn.Linear(4 * WIDTH, outputs)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, channels, side, side) in [-1, 1] to features (n, 128)."""
        features: Tensor = self.body(pixels).mean((2, 3))
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, channels, side, side) in [-1, 1] to logits (n, outputs)."""
        logits: Tensor = self.head(self.pooled(pixels))
        return logits


def train(
    images: Tensor, labels: Tensor | None, outputs: int, seed: int, device: torch.device | str = "cpu"
) -> tuple[Classifier, float]:
    """Train on images, uint8 (n, channels, side, side), on a device; return the network and its held-out accuracy.

    ``labels`` (n,) are classes; None asks for the four rotations. Draws nothing from torch's global
    generator, and the same on every device.
    """
    images, labels = images.to(device), None if labels is None else labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(images.shape[1], outputs, images.shape[2])
    network = channels_last(network.to(device))
    order = torch.randperm(len(images), generator=generator)
    count = max(1, int(len(images) * HELD_OUT))
    _fit(network, images, labels, order[count:], generator)
    return network, _accuracy(network, images, labels, order[:count])


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _fit(
    network: Classifier, images: Tensor, labels: Tensor | None, rows: Tensor, generator: torch.Generator
) -> None:
    """One-cycle AdamW (Smith and Topin 2018, arXiv:1708.07120) on random shifts of random batches."""
    steps = _images_to_see(len(rows), images.shape[2]) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    network.train()
    for _ in range(steps):
        chosen = rows[torch.randint(len(rows), (BATCH,), generator=generator)].to(images.device)
        pixels = _shifted(images[chosen], images.shape[2] // 14, generator)
        pixels, targets = _with_targets(pixels, None if labels is None else labels[chosen])
        with autocast(images.device, torch.bfloat16 if _bfloat16_pays(images.device) else torch.float32):
            logits = network(_scaled(pixels))
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    network.eval()


def _images_to_see(count: int, side: int) -> int:
    """Ten epochs, but enough for small sets, and not more than large images allow in a minute."""
    most = MOST * 28**2 // max(28, side) ** 2
    return max(FEWEST, min(EPOCHS * count, most))


def _with_targets(pixels: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the labels as they are; without labels, turn a quarter of the batch each way and ask which."""
    if labels is not None:
        return pixels, labels
    turns = torch.arange(len(pixels), device=pixels.device) % 4
    turned = torch.empty_like(pixels)
    for k in range(4):
        turned[k::4] = torch.rot90(pixels[k::4], k, (2, 3))
    return turned, turns


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Shift each image (n, c, side, side) by up to ``most`` pixels each way, repeating its border."""
    n, channels, side, _ = images.shape
    offsets = torch.randint(-most, most + 1, (2, n, 1), generator=generator)
    rows, columns = (torch.arange(side) + offsets).clamp_(0, side - 1).to(images.device)
    each, channel = (torch.arange(count, device=images.device) for count in (n, channels))
    index = each[:, None, None, None], channel[None, :, None, None]
    return images[(*index, rows[:, None, :, None], columns[:, None, None, :])]


def _scaled(images: Tensor) -> Tensor:
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _accuracy(network: Classifier, images: Tensor, labels: Tensor | None, rows: Tensor) -> float:
    right = 0
    with torch.inference_mode():
        for chosen in torch.split(rows.to(images.device), 250):
            pixels, targets = _with_targets(images[chosen], None if labels is None else labels[chosen])
            right += int((network(_scaled(pixels)).argmax(1) == targets).sum())
    return right / len(rows)


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether a CPU multiplies bfloat16 in hardware: elsewhere it is slower than float32, and on a GPU not needed."""
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
