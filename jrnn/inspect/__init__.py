"""What the units of a trained model do, on one page.

Along a text:

    record_text      every state, gate, guess and loss along it
    features         what units might follow: the place in the line, quotes, indentation
    effects          what the text costs without a unit
    write_page       all of it as one HTML file, which needs no network and no server

Along examples of a task of `jrnn.tasks`:

    record_task      every state and gate
    task_effects     what the examples cost without a unit
    write_task_page  the page; what it shows is a `Shown`

And for both:

    correlations     how strongly each unit follows each feature
    ranked           units by that, the strongest first

`jrnn inspect RUN [FILE]` does the same for a run, or a file of `jrnn.save`.
"""

from jrnn.inspect.ablate import Effect, effects
from jrnn.inspect.ablate_task import task_effects
from jrnn.inspect.examples import Channels, Classes, Forecasts, Shown, Tokens
from jrnn.inspect.page import write_page
from jrnn.inspect.ranking import correlations, features, ranked
from jrnn.inspect.record import RecordedLayer, Recording, record_text
from jrnn.inspect.record_task import RecordedExamples, record_task
from jrnn.inspect.task_page import write_task_page

__all__ = [
    "Channels",
    "Classes",
    "Effect",
    "Forecasts",
    "RecordedExamples",
    "RecordedLayer",
    "Recording",
    "Shown",
    "Tokens",
    "correlations",
    "effects",
    "features",
    "ranked",
    "record_task",
    "record_text",
    "task_effects",
    "write_page",
    "write_task_page",
]
