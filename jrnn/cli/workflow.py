"""What is particular to a task that is trained, as functions; the loop has the rest.

`jrnn.cli.train` trains whatever a `Workflow` describes: it stops and resumes, saves,
measures, draws and tells. A run is a function of its options, its data and the number
of the step, so what a workflow does at step n must follow from n, the state and the key
alone: then a run that was killed ends with the bytes of one left alone.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax

from jrnn._lock import Held
from jrnn.cell import Carry, Key, Params
from jrnn.cli.run import Origin, RunDirectory
from jrnn.cli.updates import Intervals
from jrnn.train import Metrics, TrainState

Figures = dict[str, Any]  # further figures by name, beside a loss
Rows = list[tuple[str, str]]  # of a table of two columns


class Material(NamedTuple):
    """What a run is made of, once its data are read."""

    config: Any  # the options, with what the data decide filled in
    data: Any
    model: Any
    origin: Origin | None = None  # what is taken from another run, if anything
    start: Params | None = None  # the weights of that


class Compiled(NamedTuple):
    """What makes the steps."""

    # (state, step, hypers, key) -> state, metrics (n,): the n steps from `step` on, n
    # being the length of the hypers. The state that is given may be used up.
    advance: Callable[..., tuple[TrainState, Metrics]]
    state: TrainState  # where `advance` expects it
    config: Any  # the options, with what compiling decided
    note: str | None = None  # to be said


class Guess(NamedTuple):
    """What is known without learning, against which a loss is told to have diverged."""

    loss: float
    what: str  # such as "a uniform guess"
    unit: str = ""  # of losses, such as " nats"


class Seeds(NamedTuple):
    """Which of several trainings this is that differ in their seeds alone."""

    number: int  # of them all, whose seeds are 0, 1, ...
    this: Any  # its seed, which may be traced


class Traced(NamedTuple):
    """A training whose every part can be traced, so that many go side by side."""

    weights: Callable[[Key], Params]
    carry: Callable[[Params, Key], Carry]
    # (state, step, hypers, key) as of `Compiled.advance`, where hypers may go on behind
    # the last step of the training: then nothing is done
    advance: Callable[..., tuple[TrainState, Metrics]]
    loss: Callable[[Params], jax.Array]  # of the validation part


class Workflow(NamedTuple):
    """A task as the trainer sees it. `part` is "valid" or "test"."""

    command: str  # what is typed after `jrnn`, and the task in config.json

    # before anything is read
    prepare: Callable[[Any], Any]  # (config) -> config: refuse, set up the machine
    notices: Callable[[Any], list[str]]  # (config): options that do nothing
    run_name: Callable[[Any], str]  # (config): of a run without --out

    # what is trained on what
    begin: Callable[[Any], Material]  # (config) of a new run
    resume: Callable[[Any, RunDirectory, Any], Material]  # (config, run, config.json)
    write: Callable[["Job", Material], None]  # files of a new run
    keep: Callable[["Job"], None]  # those of them that a resumed run may lack
    facts: Callable[["Job"], dict[str, Any]]  # about the data, for config.json
    identity: Callable[["Job"], Any]  # what besides options says which run this is
    other_data: Callable[[Any], str]  # (directory): why FILES cannot change

    # training
    weights: Callable[["Job", Key], Params]  # those that a new run starts from
    carry: Callable[["Job", Params, Key], Carry]  # what goes on from step to step
    per_epoch: Callable[["Job"], int]  # updates in one pass over the data
    compile: Callable[["Job", Intervals, TrainState, Key], Compiled]

    # measuring
    sizes: Callable[[Any], tuple[int, int, int]]  # (data) of the three parts, in units
    measurable: Callable[["Job", str], bool]  # (job, part): whether there is enough
    evaluate: Callable[["Job", Params, str], tuple[float, Figures]]  # (.., part)
    kept: Callable[["Job", Params], Params]  # the best weights as they are saved
    curves: tuple[str, ...]  # names of further figures, numbers, for metrics.jsonl
    guess: Callable[["Job"], Guess]
    diverged: Callable[["Job", float], bool]  # (job, loss)
    baselines: Callable[["Job"], dict[str, Figures]]  # by name; shown beside the test
    record: Callable[[float, Figures, int | None], dict[str, Any]]  # for results.json

    # words and pictures
    unit: Callable[[Any], str]  # (config): of what the data consist, such as characters
    per_step: Callable[[Any], int]  # (config): units in one step
    step_words: Callable[[Any], str]  # (config): the same, such as "32 x 64 characters"
    pass_words: str  # such as "passes over the text"
    about: Callable[["Job"], list[str]]  # what is trained on, in a line or two
    cautions: Callable[[Any, Any], list[str]]  # (config, sizes)
    shown: Callable[[Figures], str]  # figures, "loss" among them, in one line
    example: Callable[["Job", Params, int], str]  # at a log step, for samples.txt
    conclusion: Callable[["Job", Params, Figures], list[str]]  # .., of the test part
    plot: Callable[["Job", list[dict[str, Any]], str], None]  # (.., metrics, title)
    model_rows: Callable[[RunDirectory, Any, Any], Rows]  # of jrnn info

    # many trainings, for jrnn sweep; numbers among the options may be traced
    settle: Callable[[Any, Any], Any]  # (config, data) -> config, as a run has it
    traced: Callable[[Any, Any, Seeds], Traced]  # (config, data, seeds)
    least: int  # units of the validation part that can be measured
    # the loss by which trainings are told apart: that of the weights a run would keep
    judged: Literal["valid_loss", "best_loss"]


class Job(NamedTuple):
    """Everything that stays the same during a run."""

    workflow: Workflow
    config: Any  # the options of the workflow's command
    run: RunDirectory
    data: Any
    model: Any
    # the run's directory, which no other process may write to; None before it is made
    held: Held | None
    identity: str | None  # of the run, in each of its checkpoints; older runs have none
    origin: Origin | None  # what was taken from another run, if anything


def evaluate(job: Job, params: Params, part: str) -> tuple[float, Figures]:
    """The loss of a part, "valid" or "test", and further figures."""
    return job.workflow.evaluate(job, params, part)
