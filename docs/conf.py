"""The documentation site: `sphinx-build -W -b html docs build/docs`."""

import importlib.metadata
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
# For the processes that run the pages: on the CPU wherever the site is built.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
os.environ["MATPLOTLIBRC"] = str(HERE / "_static" / "matplotlibrc")
os.environ["COLUMNS"] = "80"  # of the help that a page shows
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# Their IPython has settings of its own, not those of whoever builds the site.
IPYTHON = HERE.parent / "build" / "ipython"
os.environ["IPYTHONDIR"] = str(IPYTHON)
(IPYTHON / "profile_default").mkdir(parents=True, exist_ok=True)
settings = IPYTHON / "profile_default" / "ipython_kernel_config.py"
settings.write_text("c = get_config()\nc.IPKernelApp.log_level = 40  # errors\n")

project = "jrnn"
author = "The jrnn authors"
release = version = importlib.metadata.version("jrnn")

extensions = [
    "sphinx.ext.autodoc",
    "myst_nb",
    "mathml",
    "reference",
    "gallery",
    "links",
]
exclude_patterns = ["_ext", "_static", "**.ipynb_checkpoints"]
smartquotes = False  # h' is a derivative
nitpicky = True  # what the reference links to is there

# Markdown, and the lessons, which are executed
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # an unchanged page is not executed again
nb_execution_cache_path = str(HERE.parent / "build" / "executed")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

# Docstrings
autodoc_preserve_defaults = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# Pages
html_theme = "furo"
html_title = "jrnn"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "tango"


def setup(app):
    """The blank line that ends a doctest in Markdown is not shown."""
    app.connect("source-read", lambda app, name, source: without_last_line(source))


def without_last_line(source: list[str]) -> None:
    block = re.compile(r"(^```python\n.*?)\n+^```", re.DOTALL | re.MULTILINE)
    source[0] = block.sub(r"\1\n```", source[0])
