"""`--log`: what metrics.jsonl says, told elsewhere too."""

import contextlib
from collections.abc import Iterator

from jrnn import logs
from jrnn.cli.errors import UserError
from jrnn.cli.options import TrainingOptions
from jrnn.cli.run import options_as_json
from jrnn.cli.stored import read_metrics
from jrnn.cli.workflow import Job

COLUMNS = ("step", "epoch", "loss", "grad_norm", "clipped", "valid_loss")


def check_installed(config: TrainingOptions) -> None:
    """Raise `UserError` where a log needs a package that is not there."""
    for kind in config.log:
        try:
            logs.required(kind)
        except ModuleNotFoundError as error:
            raise UserError(f"--log {error}") from None


@contextlib.contextmanager
def open_logs(job: Job) -> Iterator[logs.Log]:
    """One function that tells all logs of a run.

    They begin with what metrics.jsonl holds already: a run that was killed goes on from
    its last checkpoint, and what a log was told of later steps is replaced.
    """
    lines = read_metrics(job.run.metrics).lines
    with contextlib.ExitStack() as stack:
        own = [stack.enter_context(_log(kind, job)) for kind in job.config.log]

        def log(line: logs.Record) -> None:
            for tell in own:
                tell(line)

        for line in lines:
            log({name: line[name] for name in _columns(job) if name in line})
        yield log


def _columns(job: Job) -> tuple[str, ...]:
    return (*COLUMNS, *[f"valid_{name}" for name in job.workflow.curves])


def _log(kind: str, job: Job):
    if kind == "csv":
        return logs.csv(job.run.table, _columns(job))
    if kind == "tensorboard":
        return logs.tensorboard(job.run.directory / kind, begin=0)
    return logs.wandb(
        job.run.directory,
        name=job.run.directory.name,
        identity=job.identity,
        config=options_as_json(job.config),
    )
