"""Train the digits classifier of the zoo and write its weights.

    python training/train_digits_resnet.py

The first 1,437 of the 1,797 images are for training. The last 360 are held out: nothing
here looks at them before the final count, after the weights are fixed. The images of the 13
writers seem to follow one another, so both the held-out images and the four validation
blocks are contiguous: most of each block was written by people whose digits the network has
not seen (the source does not mark the writers; one of them may be on both sides of a cut).
The recipe below was chosen by the validation blocks alone.

The same seed gives the same file on the same machine. About three minutes on one core.
"""

import argparse
import copy
import logging
import math
from pathlib import Path

import attrs
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from bytemlperf.zoo.architectures.digits_resnet_torch import DigitsResNet

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "src/bytemlperf/datasets/data/digits.npz"
WEIGHTS = ROOT / "src/bytemlperf/zoo/weights/digits-resnet.safetensors"

TRAINING_IMAGES = 1437
VALIDATION_BLOCKS = ((0, 360), (360, 720), (720, 1080), (1080, 1437))

logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Examples:
    """Images float32 [n, 1, 8, 8] from 0 to 1, and labels int64 [n]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def take(self, index: Tensor) -> "Examples":
        """Return the examples at int64 ``index`` [m]."""
        return Examples(images=self.images[index], labels=self.labels[index])


@attrs.frozen(kw_only=True)
class Recipe:
    """What the training is made of.

    ``rotation_degrees``, ``zoom`` and ``shear`` (fractions), ``shift_pixels`` and ``ink``
    (exponent of the pixel values, in nats) are the ends of uniform ranges around nothing.
    """

    epochs: int = 60
    batch_size: int = 64
    peak_learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    averaging_decay: float = 0.995
    norm_epochs: int = 10
    augmented_share: float = 0.9
    rotation_degrees: float = 15
    zoom: float = 0.18
    shear: float = 0.25
    shift_pixels: float = 0.9
    ink: float = 0.3


def main() -> None:
    """Validate the recipe, train on all training images, write, and count once."""
    parser = argparse.ArgumentParser(description="Train the digits classifier of the zoo.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)

    recipe = Recipe()
    training = _load(slice(None, TRAINING_IMAGES))
    cross_validate(recipe, training, seed=arguments.seed)
    network = train(recipe, training, seed=arguments.seed)
    save_file(network.state_dict(), arguments.output, metadata={"format": "pt"})
    arguments.output.chmod(0o644)  # written for the owner alone otherwise
    _log_accuracy("training", count_errors(network, training), len(training))
    held_out = _load(slice(TRAINING_IMAGES, None))
    _log_accuracy("held-out", count_errors(network, held_out), len(held_out))


def cross_validate(recipe: Recipe, examples: Examples, *, seed: int) -> None:
    """Log the errors on each contiguous block after training on the other three."""
    everything = torch.arange(len(examples))
    total = 0
    for start, stop in VALIDATION_BLOCKS:
        others = torch.cat([everything[:start], everything[stop:]])
        network = train(recipe, examples.take(others), seed=seed)
        errors = count_errors(network, examples.take(everything[start:stop]))
        _log_accuracy(f"validation on images {start} to {stop - 1}", errors, stop - start)
        total += errors
    _log_accuracy("validation, all four blocks", total, len(examples))


def train(recipe: Recipe, examples: Examples, *, seed: int) -> DigitsResNet:
    """Return the trained network, its weights averaged over the last steps, for evaluation."""
    generator = Generator().manual_seed(seed)
    torch.manual_seed(seed)  # PyTorch's own initial weights, half the validation errors of Kaiming's
    network = DigitsResNet()
    averaged = copy.deepcopy(network)
    steps = recipe.epochs * (len(examples) // recipe.batch_size)
    optimiser = _optimiser(network, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_learning_rate, total_steps=steps, pct_start=0.15
    )
    for epoch in range(recipe.epochs):
        for batch in _batches(examples, recipe.batch_size, generator):
            logits = network(augment(batch.images, recipe, generator))
            loss = functional.cross_entropy(logits, batch.labels, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            _average(averaged, network, share=max(1 - recipe.averaging_decay, 1 / (epoch + 1)))
    _measure_norms(averaged, examples, recipe, generator)
    return averaged.eval()


def augment(images: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """Return [n, 1, 8, 8], most of them slightly turned, scaled, moved, thinned or thickened."""

    def draw(bound: float) -> Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * bound

    angle = draw(math.radians(recipe.rotation_degrees))
    wide, high = 1 + draw(recipe.zoom), 1 + draw(recipe.zoom)
    # The grid spans -1 to 1, so that a pixel of eight is a quarter.
    right, down = draw(recipe.shift_pixels / 4), draw(recipe.shift_pixels / 4)
    slant = draw(recipe.shear) - angle.sin() * high
    rows = [angle.cos() * wide, slant, right, angle.sin() * wide, angle.cos() * high, down]
    transform = torch.stack(rows, dim=1).reshape(-1, 2, 3)
    grid = functional.affine_grid(transform, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    inked = moved.clamp(0, 1) ** draw(recipe.ink).exp().reshape(-1, 1, 1, 1)
    chosen = torch.rand(len(images), generator=generator) < recipe.augmented_share
    return torch.where(chosen.reshape(-1, 1, 1, 1), inked, images)


def count_errors(network: nn.Module, examples: Examples) -> int:
    """Count the images whose largest logit is not their label's."""
    with torch.no_grad():
        return int((network(examples.images).argmax(dim=1) != examples.labels).sum())


def _load(part: slice) -> Examples:
    with np.load(DIGITS, allow_pickle=False) as digits:
        images = digits["images"][part].astype(np.float32) / 16
        labels = digits["labels"][part].astype(np.int64)
    return Examples(images=torch.from_numpy(images)[:, None], labels=torch.from_numpy(labels))


def _batches(examples: Examples, batch_size: int, generator: Generator) -> list[Examples]:
    """Shuffle into full batches; the rest, less than a batch, sits this epoch out."""
    order = torch.randperm(len(examples), generator=generator)
    full = len(examples) // batch_size * batch_size
    return [examples.take(index) for index in order[:full].reshape(-1, batch_size)]


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Decay kernels and matrices only, not norms and biases."""
    kernels = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.peak_learning_rate)


def _average(averaged: nn.Module, network: nn.Module, *, share: float) -> None:
    """Move the parameters of ``averaged`` in place by ``share`` towards those of ``network``."""
    with torch.no_grad():
        for mean, now in zip(averaged.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, share)


def _measure_norms(network: nn.Module, examples: Examples, recipe: Recipe, generator: Generator) -> None:
    """Replace the batch norms' statistics, which belong to other weights, by this network's own."""
    images = (
        augment(batch.images, recipe, generator)
        for _ in range(recipe.norm_epochs)
        for batch in _batches(examples, recipe.batch_size, generator)
    )
    update_bn(images, network)


def _log_accuracy(name: str, errors: int, images: int) -> None:
    logger.info("%s: %.4f (%d of %d wrong)", name, 1 - errors / images, errors, images)


if __name__ == "__main__":
    main()
