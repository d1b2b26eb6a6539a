"""The workflow of each command that trains, by the class of its options."""

from typing import Any

from jrnn.cli.class_options import Classify, Label
from jrnn.cli.config import Train
from jrnn.cli.forecast_options import Forecast
from jrnn.cli.pair_options import Translate
from jrnn.cli.tasks.classify import CLASSIFY
from jrnn.cli.tasks.examples import Command
from jrnn.cli.tasks.forecast import FORECAST
from jrnn.cli.tasks.label import LABEL
from jrnn.cli.tasks.language import LANGUAGE
from jrnn.cli.tasks.sequences import workflow_for
from jrnn.cli.tasks.translate import TRANSLATE
from jrnn.cli.workflow import Workflow

# Those that train on examples.
ON_EXAMPLES: dict[type, Command] = {
    Classify: CLASSIFY,
    Label: LABEL,
    Translate: TRANSLATE,
    Forecast: FORECAST,
}
WORKFLOWS: dict[type, Workflow] = {
    Train: LANGUAGE,
    **{options: workflow_for(command) for options, command in ON_EXAMPLES.items()},
}


def workflow_of(config: Any) -> Workflow:
    """The workflow of the command that has these options."""
    return WORKFLOWS[type(config)]
