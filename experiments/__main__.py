"""python -m experiments: bring the tables of README.md and docs up to date."""

from experiments import _board_table, _online_table, _own_table
from experiments._results import FOLDER
from experiments._table import GROUPS, markdown

if __name__ == "__main__":
    readme = FOLDER.parent / "README.md"
    before, _, _ = readme.read_text("utf-8").partition(
        f"## {next(iter(GROUPS.values()))}"
    )
    readme.write_text(f"{before}{markdown()}\n", "utf-8")
    _own_table.update()
    _board_table.update()
    _online_table.update()
