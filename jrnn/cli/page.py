"""Where a command writes a page."""

from collections.abc import Iterable
from pathlib import Path

from jrnn.cli.errors import UserError


def destination(page: Path, shown: Iterable[Path], *, overwrite: bool) -> Path:
    """The file to write: nothing is replaced unasked, and no part of a run at all.

    Args:
        page: where it is wanted.
        shown: files and folders that the page is made of.
        overwrite: whether a page that is there may be replaced.

    Raises:
        UserError: it cannot be there.
    """
    if page.resolve() in {path.resolve() for path in shown}:
        raise UserError(f"{page} is part of what is shown. Choose another --out.")
    if page.is_dir():
        raise UserError(f"{page} is a folder. Name a file in it by --out.")
    if not page.absolute().parent.is_dir():
        raise UserError(f"There is no folder {page.parent}. Make it first.")
    if page.exists() and not overwrite:
        raise UserError(
            f"{page} exists. Replace it by --overwrite, or choose another --out."
        )
    return page
