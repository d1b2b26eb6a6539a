"""Can a network write the name of the digit that an image shows?

Source: one to many, image captioning, in the course text 001; Vinyals et al. (2015),
arXiv:1411.4555. The 8 by 8 images of digits that scikit-learn brings along, a quarter
of them for the test. A network with one hidden layer sees the image at once and sets
the state in which a GRU starts; the GRU writes "zero" to "nine", a letter a step, each
from the letters before, and ends the word itself.

Expect: at least 90 % of the names of test images right in every letter. An image is
read once, so what the words have in common ("four" and "five", "six" and "seven" begin
alike) must be told apart by what the state keeps of it. Baselines: always the same
name, and the name of the most similar training image (least squared distance), which
on images this small and alike is hard to beat.

Time: seconds.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments import digits
from experiments._results import need, save, show
from experiments._training import spread, trainer
from jrnn.generate import prime, sample
from jrnn.models import carry_from, one_to_many, one_to_one

NAMES = "zero one two three four five six seven eight nine".split()
EDGE = 0  # before and after a name
LETTERS = "".join(sorted(set("".join(NAMES))))  # letter n is token n + 1
LONGEST = max(map(len, NAMES)) + 1


@dataclass(frozen=True)
class Config:
    hidden_size: int = 64
    """Units of the GRU, and of the layer that sees the image."""
    updates: int = 2000
    """In all."""
    batch_size: int = 64
    """Images in an update."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    shown: int = 10
    """Test images in the figure."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network for each; the data are the same."""


SMOKE = Config(hidden_size=3, updates=2, batch_size=2, shown=2, seeds=(0, 1))


@dataclass(frozen=True)
class Result:
    right: np.ndarray  # (seeds,) share of names without a mistake
    letters: np.ndarray  # (seeds,) share of letters, the end counted as one
    majority: float
    nearest: float
    losses: np.ndarray  # (seeds, blocks)
    updates: int
    images: np.ndarray  # (shown, 64), those mistaken first
    captions: list[tuple[str, str]]  # written by the first network, true


def tokens(name: str) -> list[int]:
    """Letters and the end, filled up with it."""
    letters = [LETTERS.index(letter) + 1 for letter in name]
    return letters + [EDGE] * (LONGEST - len(letters))


TOKENS = np.array([tokens(name) for name in NAMES], np.int32)  # (10, N)
VALID = np.array([[n <= len(name) for n in range(LONGEST)] for name in NAMES])
# who knows the names but not the image must choose among ten, once in a name
NATS_WITHOUT_IMAGE = np.log(10) * len(NAMES) / VALID.sum()


def networks(cfg: Config) -> tuple[jrnn.Cell, jrnn.Cell]:
    size = cfg.hidden_size
    front = jrnn.stack(
        jrnn.linear(size),
        jrnn.activation(jax.nn.relu),
        jrnn.linear(size),
        jrnn.activation(jnp.tanh),
    )
    vocab = len(LETTERS) + 1
    return front, jrnn.stack(jrnn.one_hot(vocab), jrnn.gru(size), jrnn.linear(vocab))


def init(cfg: Config, key):
    front, writer = networks(cfg)
    front_key, writer_key = jax.random.split(key)
    return front.init(front_key, jnp.zeros(64)), writer.init(writer_key, jnp.int32(0))


def loss(cfg: Config, params, batch, key):
    del key
    images, names, valid = batch
    # teacher forcing: each letter from the true ones before
    before = jnp.pad(names[:, :-1], ((0, 0), (1, 0)), constant_values=EDGE)
    run = partial(one_to_many, *networks(cfg), params)
    return jrnn.losses.cross_entropy(jax.vmap(run)(images, before), names, valid)


@partial(jax.jit, static_argnums=0)
def write(cfg: Config, params, images):
    """Tokens (n, N), each the most likely after those before."""
    front, writer = networks(cfg)

    def one(image):
        start = carry_from(writer, params[1], one_to_one(front, params[0], image))
        state = prime(writer, params[1], jnp.array([EDGE]), start)
        return sample(
            writer, params[1], None, state, LONGEST, greedy=True, stop_token=EDGE
        )[1]

    return jax.vmap(one)(images)


def text(row) -> str:
    return "".join(f"\n{LETTERS}"[token] for token in row).partition("\n")[0]


def run(cfg: Config) -> Result:
    (images, numbers), (asked, true) = digits.load()
    data = images, TOKENS[numbers], VALID[numbers]
    train = trainer(partial(loss, cfg), cfg, 40)
    right, letters, losses, first = [], [], [], None
    for seed in cfg.seeds:
        init_key, key = jax.random.split(jax.random.key(seed))
        params, curve = train(init(cfg, init_key), data, key)
        found = np.asarray(write(cfg, params, asked))
        same = found == TOKENS[true]
        right.append(same.all(axis=1).mean())
        letters.append(same[VALID[true]].mean())
        losses.append(curve)
        first = found if first is None else first
    order = np.argsort((first == TOKENS[true]).all(axis=1), kind="stable")[: cfg.shown]
    return Result(
        np.array(right),
        np.array(letters),
        (true == np.bincount(numbers).argmax()).mean(),
        (numbers[nearest(images, asked)] == true).mean(),
        np.array(losses),
        cfg.updates,
        asked[order],
        [(text(first[n]), NAMES[true[n]]) for n in order],
    )


def nearest(images, asked) -> np.ndarray:
    """Which training image each of those asked is most like, by squared distance."""
    return ((asked[:, None] - images) ** 2).sum(axis=-1).argmin(axis=1)


def summary(result: Result) -> dict:
    """Share of test images; mean, and range over seeds."""
    return {
        "exactly_right": spread(result.right),
        "right_letters": spread(result.letters),
        "baseline_most_frequent_name": result.majority,
        "baseline_nearest_image": result.nearest,
        "mistakes_of_the_first": [
            f"{written}, not {true}"
            for written, true in result.captions
            if written != true
        ],
    }


def plot(result: Result) -> plt.Figure:
    figure = plt.figure(figsize=(9.5, 3.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.6))
    axes = left.subplots()
    x = np.linspace(0, result.updates, result.losses.shape[1] + 1)[1:]
    axes.plot(x, result.losses.T, color="#0072b2", lw=1)
    axes.axhline(
        NATS_WITHOUT_IMAGE,
        color="black",
        ls=":",
        lw=1,
        label="without the image",
    )
    axes.set(xlabel="update", ylabel="training loss, nats a letter", yscale="log")
    axes.legend(fontsize=8)
    columns = (len(result.captions) + 1) // 2
    grid = right.subplots(2, columns, squeeze=False)
    for place in grid.flat:
        place.axis("off")
    pairs = zip(grid.flat, result.images, result.captions, strict=False)
    for place, image, (written, true) in pairs:
        place.imshow(image.reshape(8, 8), cmap="Greys", vmin=0, vmax=1)
        wrong = written != true
        note = f"{written}\nis {true}" if wrong else f"{written}\n"
        place.set_title(note, fontsize=8, color="#d55e00" if wrong else "black")
    right.suptitle("Test images as written, mistakes first", fontsize=10)
    return figure


def main(cfg: Config) -> None:
    need("sklearn")
    result = run(cfg)
    metrics = summary(result)
    save("captioning", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
