"""The workflow of each command that trains, by the class of its options."""

from typing import Any

from jrnn.cli.config import Train
from jrnn.cli.tasks.language import LANGUAGE
from jrnn.cli.workflow import Workflow

WORKFLOWS: dict[type, Workflow] = {Train: LANGUAGE}


def workflow_of(config: Any) -> Workflow:
    """The workflow of the command that has these options."""
    return WORKFLOWS[type(config)]
