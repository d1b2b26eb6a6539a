"""Options of a sweep that do nothing, or not what one may think."""

from collections.abc import Sequence

from jrnn.cli.config import Train
from jrnn.cli.notices import decay, of_counts, those, warmup
from jrnn.cli.options import TrainingOptions, option
from jrnn.cli.sweep.options import Options, Searching, drawn
from jrnn.sweep.space import Config


def of_sweep(
    base: TrainingOptions, space: Sequence[Config], options: Options
) -> list[str]:
    """What is to be said of the options of `jrnn sweep`."""
    idle = {c["optimizer"] for c in space if c["weight_decay"] > 0} - {"adamw"}
    unused = [] if drawn(options) else ["draws", "seed"]
    return those(
        (bool(idle), decay(sorted(idle))),
        (base.rise > base.steps, warmup(base)),
        *(of_counts(base) if isinstance(base, Train) else ()),
        *(
            (
                getattr(options, name) != getattr(Searching, name),
                f"{option(name)} does nothing without a range such as log:1e-3:1, from "
                "which values are drawn.",
            )
            for name in unused
        ),
        (
            options.search != "optuna" and options.rounds != Searching.rounds,
            "--rounds does nothing without --search optuna.",
        ),
        (
            options.method == "map" and options.together is not None,
            "--together does nothing with --method map: one training at a time.",
        ),
    )
