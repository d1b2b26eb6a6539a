"""The options of the command that says what comes next in a series."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from jrnn.cli.cells import CellName
from jrnn.cli.errors import UserError
from jrnn.cli.options import SequenceOptions


@dataclass(frozen=True)
class Forecast(SequenceOptions):
    """Learn to say what comes next in series of numbers, from a table.

    FILE is CSV, TSV or Parquet, a row for each step, in the order of time. It is split
    by time, each series by its own length: what comes last is the test. The answer is a
    band for each step ahead, its quantiles, and is compared with the last value and
    with the last season.
    """

    from_data: ClassVar[str] = (
        "context hidden_size steps batch_size learning_rate eval_every log_every"
    )
    positive: ClassVar[str] = f"{SequenceOptions.positive} horizon context"
    not_negative: ClassVar[str] = f"{SequenceOptions.not_negative} season"

    target: str = ""
    """The column to forecast, or several with commas between them."""
    horizon: int = 1
    """Steps to forecast."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Shares of what comes that should lie below each forecast."""
    features: tuple[str, ...] = ()
    """Columns of numbers to read beside the targets. (default: none)"""
    id: str | None = None
    """The column that tells series apart; rows with the same entry are one. (default:
    all rows are one)"""
    time: str | None = None
    """The column of times, which must not go back within a series; it is not read.
    (default: none)"""
    missing: Literal["refuse", "mask", "interpolate"] = "refuse"
    """What is done about missing numbers. mask: the last one known in their place, and
    a column more that says where. interpolate: on a line between the values before and
    after. What is missing is never asked for."""
    context: int = 0
    """Steps that are read for a forecast. (default: twice --season, --horizon or 16,
    whichever is most, at most half of the training part)"""
    season: int = 1
    """Steps of a season: a forecast starts from the value so long before, or from that
    and what the last season has added if in training this is nearer; 1 from the last
    value, 0 from none."""
    centre: Literal["auto", "yes", "no"] = "auto"
    """Whether targets are read relative to their last value: auto if in training that
    is nearer to what comes than their mean is."""
    feedback: bool = False
    """Forecast one step at a time, and read each forecast as if it had come true,
    instead of all steps at once."""

    cell: CellName = "gru"
    hidden_size: int = 0
    """Units of each layer. (default: as the data suggest)"""
    dropout: float = 0.2

    steps: int = 0
    """Updates of the weights. (default: as the data suggest)"""
    batch_size: int = 0
    """Windows in each update. (default: as the data suggest)"""
    learning_rate: float = 0.0
    """Largest learning rate. (default: as the data suggest)"""
    eval_every: int = 0
    """Steps between evaluations on the validation part. (default: a twentieth of
    --steps)"""
    log_every: int = 0
    """Steps between lines in metrics.jsonl; the other intervals are rounded up to
    multiples of it. (default: a twentieth of --steps, at most 50)"""

    def check(self) -> None:
        """Raise `UserError` where a value cannot work."""
        super().check()
        q = np.array(self.quantiles, float)
        if not q.size or not ((q > 0) & (q < 1)).all() or not (np.diff(q) > 0).all():
            raise UserError(
                "--quantiles must be between 0 and 1 and rise, got "
                f"{' '.join(f'{x:g}' for x in self.quantiles)}."
            )
        if 0 < self.context < self.season:
            raise UserError(
                f"--context must be at least --season, {self.season}, got "
                f"{self.context}."
            )
