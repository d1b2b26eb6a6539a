"""Run the workloads, show them, and write them down."""

import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from experiments import _results
from experiments.benchmark import (
    bounded,
    chart,
    compiling,
    configurations,
    foreign,
    gradients,
    memory,
    peers,
    record,
    sampling,
    sharded,
    table,
    training,
)
from experiments.benchmark.compare import Session
from experiments.benchmark.config import Config

WORKLOADS = {
    "W1": training.cases,
    "W2": gradients.short_sequences,
    "W3": gradients.wide_and_deep,
    "W4": gradients.long_sequences,
    "W5": configurations.cases,
    "W6": sampling.cases,
    "W7": memory.cases,
    "W8": compiling.cases,
    "W9": foreign.cases,
    "W10": sharded.cases,
    "W11": bounded.cases,
}
NAME = "benchmark"


def main(cfg: Config, console: Console | None = None) -> dict:
    console = console or Console()
    here, missing = peers.find()
    for name, reason in missing.items():
        console.print(f"{name} is missing: {reason}", style="yellow", markup=False)
    folder = cfg.out or (None if cfg.quick else _results.FOLDER)
    workloads = {} if folder is None else earlier(folder)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        session = Session(cfg, progress, here, missing)
        for name in cfg.only or WORKLOADS:
            workloads[name] = run_workload(session, name)
            if folder is not None:  # after each, so that what was measured is kept
                write(cfg, workloads, folder)
    for summary, title in (
        (record.summary(workloads), table.GRADIENTS),
        (record.foreign_summary(workloads), table.FOREIGN),
    ):
        if summary:
            console.print(table.summary_table(summary, title))
    return workloads


def run_workload(session: Session, name: str) -> dict:
    console = session.progress.console
    before, cases = load_average(), []
    for case in WORKLOADS[name](session):
        cases.append(case)
        console.print(table.tables(name, case))
    return {"load_average": {"before": before, "after": load_average()}, "cases": cases}


def load_average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def earlier(folder: Path) -> dict:
    """Workloads of earlier runs on this machine with these versions, if any."""
    path = folder / f"{NAME}.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text("utf-8"))
    now = {"versions": versions(), "machine": _results.machine()}
    old = {"versions": content["metrics"]["versions"], "machine": content["machine"]}
    return content["metrics"]["workloads"] if old == now else {}


def write(cfg: Config, workloads: dict, folder: Path) -> None:
    workloads = {name: workloads[name] for name in WORKLOADS if name in workloads}
    metrics = {
        "summary": record.summary(workloads),
        "foreign_summary": record.foreign_summary(workloads),
        "workloads": workloads,
        "versions": versions(),
    }
    figure = chart.chart(workloads) if metrics["summary"] else None
    _results.save(NAME, cfg, metrics, figure, folder)


def versions() -> dict[str, str | None]:
    """Of everything that is measured; None where it is not installed."""
    found: dict[str, str | None] = dict(_results.versions())
    for package in ("torch", "flax", "dm-haiku", "equinox"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
