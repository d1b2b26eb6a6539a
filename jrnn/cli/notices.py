"""Options that do nothing, or not what one may think: said, not refused."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from jrnn.cli.config import PRESETS, Eval, Sample, Train
from jrnn.cli.options import SequenceOptions, TrainingOptions
from jrnn.sweep.processes import is_first
from jrnn.text import Vocabulary, unknown_symbols


def warn(notices: Iterable[str]) -> None:
    """Write a line for each to stderr, of one process where several work together."""
    if is_first():
        for notice in notices:
            print(f"jrnn: warning: {notice}", file=sys.stderr)


def of_training(config: Train) -> list[str]:
    """What is to be said of the options of `jrnn train`."""
    given = PRESETS[config.preset].eval_every != config.eval_every
    unmeasured = config.split[1] == 0
    return those(
        *of_updates(config),
        *of_counts(config),
        (
            unmeasured and config.patience > 0,
            "--patience does nothing: --split leaves no text for validation.",
        ),
        (
            unmeasured and given,
            "--eval-every does nothing: --split leaves no text for validation.",
        ),
        *([] if unmeasured else of_patience(config)),
    )


def of_examples(config: SequenceOptions) -> list[str]:
    """What is to be said of the options of a command that trains on examples."""
    unmeasured = config.split[1] == 0
    return those(
        *of_updates(config),
        (
            unmeasured and config.patience > 0,
            "--patience does nothing: --split leaves nothing for validation.",
        ),
        *([] if unmeasured else of_patience(config)),
    )


def of_updates(config: TrainingOptions) -> list[tuple[bool, str]]:
    """Cases of the rule of the updates and its course."""
    return [
        (
            config.weight_decay > 0 and config.optimizer != "adamw",
            decay([config.optimizer]),
        ),
        (
            config.optimizer == "adamw" and config.weight_decay == 0,
            "--optimizer adamw is adam where --weight-decay is 0.",
        ),
        (config.rise > config.steps, warmup(config)),
        (
            config.average > 0 and config.schedule != "constant",
            f"--average gains little with --schedule {config.schedule}, by which the "
            "weights come to rest: it is for constant.",
        ),
    ]


def of_patience(config: TrainingOptions) -> list[tuple[bool, str]]:
    """The case of a patience that no run of so many steps can exhaust."""
    every = -(-config.eval_every // config.log_every) * config.log_every
    before_end = (config.steps - 1) // every  # evaluations; the first is the best yet
    return [
        (
            config.patience > 0 and config.patience >= before_end,
            f"--patience {config.patience} cannot end a run of {config.steps} steps, "
            f"measured every {every}: see --eval-every.",
        )
    ]


def of_sampling(options: Sample, vocabulary: Vocabulary) -> list[str]:
    """What is to be said of the options of `jrnn sample`."""
    greedy = options.greedy or options.temperature == 0
    why = "--greedy" if options.greedy else "--temperature 0"
    default = Sample(options.run)
    missing = unknown_symbols(vocabulary, options.prime)
    read = vocabulary.unknown is not None  # the prime is refused otherwise
    idle = {
        "--temperature": options.temperature not in (0, default.temperature),
        "--top-k": options.top_k is not None,
        "--top-p": options.top_p is not None,
        "--seed": options.seed != default.seed,
    }
    return those(
        *((greedy and is_given, f"{name} does nothing with {why}.")
          for name, is_given in idle.items()),
        (
            greedy and options.num_samples > 1,
            f"the {options.num_samples} samples are all the same with {why}.",
        ),
        (
            not greedy and (options.top_k or 0) >= len(vocabulary),
            f"--top-k {options.top_k} does nothing: the run has {len(vocabulary)} "
            "symbols.",
        ),
        (
            not greedy and options.top_k == 1,
            "--top-k 1 always takes the likeliest token, as --greedy does.",
        ),
        (not greedy and options.top_p == 1, "--top-p 1 does nothing: it keeps all."),
        _of_file(options),
        (
            read and bool(missing),
            f"--prime: the model reads the unknown token for {list_some(missing)}.",
        ),
    )  # fmt: skip


def of_evaluation(options: Eval, vocabulary: Vocabulary) -> list[str]:
    """What is to be said of the options of `jrnn eval`."""
    default = Eval(options.run)
    return those(
        (
            options.rows == 1 and options.context != default.context,
            "--context does nothing with --rows 1, which reads the text as one piece.",
        ),
        (
            vocabulary.level == "byte" and options.unknown != default.unknown,
            "--unknown does nothing for a run of --level byte, which knows all bytes.",
        ),
        _of_file(options),
    )


def _of_file(options: Sample | Eval) -> tuple[bool, str]:
    return (
        options.run.is_file() and options.checkpoint != Eval.checkpoint,
        "--checkpoint does nothing for a file, which has one set of weights.",
    )


def list_some(symbols: Counter[str]) -> str:
    """The first three of some symbols, and how many more there are."""
    shown = ", ".join(map(repr, list(symbols)[:3]))
    more = len(symbols) - 3
    return f"{shown} and {more:,} more" if more > 0 else shown


def of_counts(config: Train) -> list[tuple[bool, str]]:
    """Cases of `--min-count`."""
    count = f"--min-count {config.min_count}"
    return [
        (
            config.min_count > 1 and config.level == "byte",
            f"{count} does nothing with --level byte, which has all 256 symbols.",
        ),
        (
            config.min_count > 1 and config.level != "byte",
            f"with {count} rare symbols count as one that is likelier, so losses do "
            "not compare with those of another --min-count.",
        ),
    ]


def decay(optimizers: Sequence[str]) -> str:
    """What is said of a weight decay that these optimisers do not know."""
    names = ", ".join(optimizers)
    return f"--weight-decay does nothing with --optimizer {names}: it is for adamw."


def warmup(config: TrainingOptions) -> str:
    """What is said of a warm-up that is not over at the last step."""
    reached = config.learning_rate * config.steps / max(config.rise, 1)
    return (
        f"--warmup {config.rise} is longer than the run of {config.steps} steps: the "
        f"learning rate ends at {reached:g} and never gets to "
        f"{config.learning_rate:g}."
    )


def those(*cases: tuple[bool, str]) -> list[str]:
    """The notices whose case is given."""
    return [notice for holds, notice in cases if holds]
