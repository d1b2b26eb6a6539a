"""From a dataclass of options to its command line: groups, help texts, values.

The options of a command stay one flat dataclass, which is what `config.json` holds. For
the parser it is cut into groups, each a dataclass of its own and a box of the help.
"""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from typing import Annotated, Any, NamedTuple

import tyro

from jrnn.cli.options import fields_of

WIDTH = 79  # of the text above the boxes, which tyro does not wrap

GROUPS = {
    "data": (
        "target horizon quantiles label text_column id time features group missing "
        "token_column tag_column level min_count split test"
    ),
    "model": (
        "context season centre feedback cell hidden_size layers embed_size tie_weights "
        "direction chunk attention beam_size dropout recurrent_dropout"
    ),
    "training": (
        "steps batch_size window update_every optimizer learning_rate schedule warmup "
        "clip weight_decay average patience seed"
    ),
    "sweep": "seeds draws search rounds evals",
    "output": "eval_every log_every save_every sample_every",
    "machine": "devices cluster method together",
}
_VALUES = {
    "files": "[FILE ...]",
    "file": "[FILE]",
    "examples": "FILE",
    "run": "RUN",
    "runs": "RUN ...",
    "target": "COLUMN[,COLUMN]",
    "cluster": "HOST:PORT,N,I|auto",
}
_DEFAULTS = {"None": "none", "": "none", "''": "none", "False": "no"}


class Field(NamedTuple):
    """One option."""

    name: str
    type: Any
    # its help; ends with `(default: ...)` where the value itself, such as None, would
    # not tell, and starts with `* ` where several values may be given
    text: str
    value: Any  # the default; MISSING where there is none


def read_form(kind: type, words: list[str], prog: str, default: Any = None) -> Any:
    """Read the options of one command; help and mistakes end the program.

    What stands under a field is its help text, see `Field`.

    Args:
        kind: a dataclass whose fields have docstrings.
        words: what was typed after the command.
        prog: the command, such as `jrnn train`.
        default: an instance with the defaults; those of the class if None.

    Returns:
        An instance of `kind`.
    """
    fields = form_fields(kind, default)
    return kind(**read_fields(fields, words, prog, docstring(kind)))


def read_fields(
    fields: list[Field], words: list[str], prog: str, about: str
) -> dict[str, Any]:
    """The same for options that are no dataclass: what was given, by name.

    Args:
        fields: the options.
        words: what was typed after the command.
        prog: the command.
        about: what stands above the options, its paragraphs.
    """
    form = tyro.cli(
        _form(fields),
        args=words,
        prog=prog,
        description=_wrapped(about),
        config=(
            tyro.conf.OmitArgPrefixes,
            tyro.conf.DisallowNone,
            tyro.conf.FlagCreatePairsOff,
        ),
    )
    return _flat(form)


def form_fields(kind: type, default: Any = None) -> list[Field]:
    """The options of a dataclass, with the defaults of an instance or its own."""
    texts = _field_texts(kind)
    value = lambda f: f.default if default is None else getattr(default, f.name)
    return [Field(f.name, f.type, texts[f.name], value(f)) for f in fields_of(kind)]


def first_paragraph(kind: type) -> str:
    """What a command does, in one line."""
    return " ".join(docstring(kind).partition("\n\n")[0].split())


def docstring(kind: type) -> str:
    """What a class of options says of its command."""
    return inspect.getdoc(kind) or ""


def _form(fields: list[Field]) -> type:
    columns = {field.name: _column(field) for field in fields}
    if "steps" in columns:  # a command with many options
        for group, names in GROUPS.items():
            inner = [columns.pop(name) for name in names.split() if name in columns]
            if inner:
                inner = dataclasses.make_dataclass(group, inner, frozen=True)
                columns[group] = (group, inner, inner())
    return dataclasses.make_dataclass("options", columns.values(), frozen=True)


def _flat(form: Any) -> dict[str, Any]:
    values = {f.name: getattr(form, f.name) for f in dataclasses.fields(form)}
    for name in GROUPS.keys() & values.keys():
        values |= _flat(values.pop(name))
    return values


def _column(field: Field) -> tuple:
    """Name, type with what the help says of it, and default if there is one."""
    text, _, own_default = field.text.partition(" (default: ")
    hint = lambda label: f"(default: {_DEFAULTS.get(label, label)})"
    described = tyro.conf.arg(
        help=text,
        metavar="VALUES" if text.startswith("* ") else _VALUES.get(field.name),
        help_behavior_hint=f"(default: {own_default}" if own_default else hint,
    )
    column = field.name, Annotated[field.type, described], field.value
    return column[:2] if field.value is dataclasses.MISSING else column


def _field_texts(kind: type) -> dict[str, str]:
    """The docstring under each field, its own or that of a base, as one line."""
    texts = {}
    for base in reversed(kind.__mro__[:-1]):  # all but `object`
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in itertools.pairwise(definition.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value):
                    texts[name] = " ".join(ast.literal_eval(value).split())
    return texts


def _wrapped(text: str) -> str:
    # tyro joins lines but those that do not start with a letter, hence the indentation
    fill = lambda part: textwrap.indent(textwrap.fill(part, WIDTH - 2), "  ")
    return "\n".join(fill(" ".join(part.split())) for part in text.split("\n\n"))
