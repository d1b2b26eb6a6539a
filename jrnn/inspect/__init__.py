"""What the units of a trained character model do, on one page.

    record_text    every state, gate, guess and loss along a text
    features       what units might follow: the place in the line, quotes, indentation
    correlations   how strongly each unit follows each of them
    ranked         units by that, the strongest first
    effects        what the text costs without a unit
    write_page     all of it as one HTML file, which needs no network and no server

`jrnn inspect RUN [FILE]` does the same for a run of `jrnn train` or a file of
`jrnn.save`.
"""

from jrnn.inspect.ablate import Effect, effects
from jrnn.inspect.page import write_page
from jrnn.inspect.ranking import correlations, features, ranked
from jrnn.inspect.record import RecordedLayer, Recording, record_text

__all__ = [
    "Effect",
    "RecordedLayer",
    "Recording",
    "correlations",
    "effects",
    "features",
    "ranked",
    "record_text",
    "write_page",
]
