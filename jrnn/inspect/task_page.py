"""The page of examples: what a task does along them, in one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from jrnn.inspect.ablate import Effect
from jrnn.inspect.examples import Shown
from jrnn.inspect.fill import EXAMPLES, room_of, write_filled
from jrnn.inspect.record_task import RecordedExamples
from jrnn.inspect.task_contents import bytes_of_inputs, task_contents


def write_task_page(
    path: str | Path,
    recording: RecordedExamples,
    shown: Shown,
    *,
    title: str,
    facts: Sequence[str] = (),
    effects: Sequence[Effect] | None = None,
    figure: str = "",
    measured: int = 0,
    megabytes: int = 50,
) -> int:
    """Write an HTML page that shows the units of a task along examples.

    Channels and states stand below each other on one axis of time. The file holds all
    that it needs and asks for nothing, as that of `write_page`.

    Args:
        path: the file; one of that name is replaced.
        recording: of the examples, by `record_task`.
        shown: what they are made of, and the answers.
        title: what the page is called.
        facts: what else its head says.
        effects: of units set to zero, by `task_effects`; not shown if None.
        figure: what `Effect.figure` is, such as "accuracy".
        measured: examples on which effects were measured, for the explanation.
        megabytes: about how large the file may be, as for `write_page`.

    Returns:
        The size of the file, in bytes.

    Raises:
        ValueError: examples of other lengths than were recorded.
        OSError: the file cannot be written; an old one is as it was.

    Example:
        >>> import tempfile, jax, numpy as np
        >>> from jrnn.data import Dataset, from_arrays
        >>> from jrnn.inspect import Channels, Classes, record_task
        >>> from jrnn.tasks import classification, numbers, predict
        >>> task, xs = classification(numbers(1), 2, hidden_size=3), np.ones((5, 1))
        >>> params, data = task.init(jax.random.key(0)), Dataset(from_arrays([xs]))
        >>> p = predict(task, params, data).probability
        >>> answers = Classes(["no", "yes"], p, None, "sequence")
        >>> shown = Shown(Channels(["x"], xs), np.array([5]), answers, ["1"])
        >>> seen = record_task(task, params, data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = write_task_page(f"{folder}/a.html", seen, shown, title="a")
        ...     size == Path(f"{folder}/a.html").stat().st_size
        True
    """
    if list(shown.lengths) != list(recording.lengths):
        raise ValueError(
            f"write_task_page: the recording is of {len(recording.lengths)} examples "
            f"with {int(recording.lengths.sum())} steps, got {len(shown.lengths)} with "
            f"{int(shown.lengths.sum())}."
        )
    room = room_of(megabytes, bytes_of_inputs(shown))
    found = task_contents(recording, shown, effects, room)
    about = {"title": title, "measured": measured, "figure": figure, **found.about}
    return write_filled(path, EXAMPLES, title, facts, found._replace(about=about))
