"""Can a network tell a digit that it sees one pixel at a time?

Source: classification from the last step in the course texts 000 and 001; Le, Jaitly,
Hinton (2015), arXiv:1504.00941, section 4.2 (there on 784 pixels). The 1797 images of
8 by 8 pixels that scikit-learn brings along (UCI, handwritten digits), read row by row,
a quarter of them for the test.

Expect: well over 93 % of the test images from the last of 64 states. The tanh network
starts with orthogonal weights, for which 64 steps are not far; it learns fastest and
knows most images that it has not seen. Gates pay on longer sequences: here GRU and LSTM
are slower, and end near 93 %. Baselines: always the most frequent digit, and a linear
network that sees all pixels at once, one to one, for which images this small are easy.

Time: about 2 minutes on two CPU cores.
"""

from dataclasses import dataclass
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import need, save, show
from experiments._training import fitted, spread
from jrnn.data import Dataset, from_arrays
from jrnn.tasks import baselines, classification, measure, numbers

Name = Literal["tanh", "GRU", "LSTM"]
CELLS = {"tanh": jrnn.elman, "GRU": jrnn.gru, "LSTM": jrnn.lstm}
COLOURS = {"tanh": "#d55e00", "GRU": "#009e73", "LSTM": "#0072b2"}


@dataclass(frozen=True)
class Config:
    cells: tuple[Name, ...] = ("tanh", "GRU", "LSTM")
    """Networks to compare."""
    hidden_size: int = 64
    """Units."""
    updates: int = 2000
    """In all."""
    batch_size: int = 64
    """Images in an update."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network of each kind for each; the data are the same."""


SMOKE = Config(("GRU",), hidden_size=3, updates=4, batch_size=2, seeds=(0, 1))


@dataclass(frozen=True)
class Result:
    updates: int
    losses: dict[str, np.ndarray]  # (seeds, blocks)
    accuracy: dict[str, np.ndarray]  # (seeds,) on test images
    confusion: dict[str, np.ndarray]  # (10, 10): shown, answered; all seeds
    linear: np.ndarray  # (seeds,)
    majority: float
    test_images: int


def load() -> tuple[tuple, tuple]:
    """Pixels (n, 64) from 0 to 1 and digits (n,), for training and test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    images, digits = (images / 16).astype(np.float32), digits.astype(np.int32)
    x, x_test, y, y_test = train_test_split(
        images, digits, test_size=0.25, stratify=digits, random_state=0
    )
    return (x, y), (x_test, y_test)


def by_pixel(images: np.ndarray, digits: np.ndarray) -> Dataset:
    """Each image as a sequence of numbers, (64, 1)."""
    return Dataset(from_arrays(images[..., None]), digits)


def learn(cfg: Config, task, train: Dataset, test: Dataset):
    """Losses (seeds, blocks), and figures of the test for each seed."""
    losses, found = [], []
    for seed in cfg.seeds:
        fit = fitted(cfg, task, train, seed, every=max(1, cfg.updates // 40))
        losses.append([record["loss"] for record in fit.history])
        found.append(measure(task, fit.params, test))
    return np.array(losses), found


def run(cfg: Config) -> Result:
    train, test = (by_pixel(*part) for part in load())
    losses, accuracy, confusion = {}, {}, {}
    task = lambda cell, **options: classification(
        numbers(1), 10, cell=cell, bidirectional=False, pool="last", **options
    )
    accuracies = lambda found: np.array([figures["accuracy"] for figures in found])
    for name in cfg.cells:
        recurrent = task(CELLS[name], hidden_size=cfg.hidden_size)
        losses[name], found = learn(cfg, recurrent, train, test)
        accuracy[name] = accuracies(found)
        confusion[name] = sum(figures["confusion"] for figures in found)
    # all pixels in one step, and nothing between them and the readout
    linear = task(lambda _: jrnn.activation(lambda x: x), chunk=64)
    majority = baselines.most_frequent_class(train, test, 10)["accuracy"]
    return Result(
        cfg.updates,
        losses,
        accuracy,
        confusion,
        accuracies(learn(cfg, linear, train, test)[1]),
        majority,
        len(test.inputs),
    )


def summary(result: Result) -> dict:
    """Share of test images; mean, and range over seeds."""
    return {
        "accuracy": {name: spread(a) for name, a in result.accuracy.items()},
        "baseline_most_frequent_digit": result.majority,
        "baseline_linear_all_pixels": spread(result.linear),
        "test_images": result.test_images,
        "seeds": len(result.linear),
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4), layout="constrained", width_ratios=(1.3, 1)
    )
    for name, curves in result.losses.items():
        x = np.linspace(0, result.updates, curves.shape[1] + 1)[1:]
        lines = left.plot(x, curves.T, color=COLOURS[name], lw=1)
        mean = 100 * result.accuracy[name].mean()
        lines[0].set_label(f"{name}, {mean:.1f} % of test images")
    left.axhline(np.log(10), color="black", ls=":", lw=1, label="log 10, by chance")
    left.set(xlabel="update", ylabel="training loss, nats an image", yscale="log")
    left.set_title("Each of the networks", fontsize=10)
    left.legend(fontsize=8)
    name = max(result.accuracy, key=lambda n: result.accuracy[n].mean())
    counts = result.confusion[name]
    shares = counts / counts.sum(axis=1, keepdims=True)
    right.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for shown, answered in zip(*np.nonzero(counts), strict=True):
        dark = shares[shown, answered] > 0.5
        right.text(
            answered,
            shown,
            counts[shown, answered],
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )
    right.set(xlabel="answered", ylabel="shown", xticks=range(10), yticks=range(10))
    right.set_title(f"Test images, {name}, all seeds", fontsize=10)
    return figure


def main(cfg: Config) -> None:
    need("sklearn")
    result = run(cfg)
    metrics = summary(result)
    save("digits", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
