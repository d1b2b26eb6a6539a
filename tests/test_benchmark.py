"""The benchmark: all contenders give one answer, and its tables and chart are right."""

import functools
import io
import json
import math

import jax
import jax.extend
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tyro
from rich.console import Console
from rich.progress import Progress

from experiments.benchmark import (
    bare,
    chart,
    compare,
    configurations,
    of_jrnn,
    of_lax,
    of_numpy,
    peers,
    record,
    run,
    sampling,
    table,
    timing,
)
from experiments.benchmark.config import Config
from experiments.benchmark.models import (
    Entry,
    Model,
    training_entry,
)
from experiments.benchmark.problem import Problem, data, weights

pytestmark = pytest.mark.slow

TINY = {"time": 5, "hidden": 4, "vocab": 7}


@pytest.fixture(autouse=True)
def settings_of_a_run():
    """Batches by hand add a bias to rows of a batch."""
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        yield


# ---- one answer


def answers(problem: Problem, models) -> list[Entry]:
    """Loss and gradient of each in its own layout, compiled together to save time."""
    w, d = weights(problem), data(problem)
    own = [model.load(w) for model in models]
    loss_and_gradient = lambda own: [
        jax.value_and_grad(model.loss)(params, d)
        for model, params in zip(models, own, strict=True)
    ]
    results = jax.jit(loss_and_gradient)(own)
    return [
        Entry(model.name, lambda result=result: result, model.load)
        for model, result in zip(models, results, strict=True)
    ]


@functools.cache
def all_answers(kind, batch, layers=1) -> list[Entry]:
    problem = Problem(kind, batch, layers=layers, **TINY)
    return answers(problem, of_jrnn.models(problem) + of_lax.models(problem))


def known(entry, monkeypatch):
    """Let an answer be the one that others are compared with, without compiling."""
    reference = lambda problem, w, d: compare.in_one_layout(entry, w, entry.call())
    monkeypatch.setattr(compare, "reference", reference)


@pytest.mark.parametrize(
    ("kind", "batch", "layers"), [("tanh", 1, 1), ("gru", 3, 1), ("lstm", 3, 2)]
)
def test_all_ways_in_jax_and_numpy_agree(kind, batch, layers, monkeypatch):
    problem = Problem(kind, batch, layers=layers, **TINY)
    w, d = weights(problem), data(problem)
    entries = list(all_answers(kind, batch, layers))
    known(next(e for e in entries if e.name == "lax.scan"), monkeypatch)
    if of_numpy.understands(problem):
        entries.append(of_numpy.gradient_entry(problem, w, d))
    assert len({entry.name for entry in entries}) == len(entries) >= 5
    assert 0 < compare.check(problem, w, d, entries) < 1e-5
    leaves = jax.tree.leaves(entries[0].call())
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_the_gru_that_resets_before_the_product_is_another(monkeypatch):
    problem = Problem("gru before", 3, **TINY)
    w, d = weights(problem), data(problem)
    models = [of_jrnn.models(problem)[0], Model("lax", of_lax.textbook(problem))]
    entry, reference = answers(problem, models)
    known(reference, monkeypatch)
    assert compare.check(problem, w, d, [entry]) < 1e-5
    known(all_answers("gru", 3)[0], monkeypatch)
    with pytest.raises(compare.UnequalError, match=r"jrnn, GRU B3 .*differs"):
        compare.check(problem, w, d, [entry._replace(kind="gru")])


def test_a_wrong_number_anywhere_is_found(monkeypatch):
    problem = Problem("tanh", 1, **TINY)
    w, d = weights(problem), data(problem)
    right = next(e for e in all_answers("tanh", 1) if e.name == "lax.scan")
    known(right, monkeypatch)
    leaves, structure = jax.tree.flatten(right.call())
    assert len(leaves) == 6  # the loss, three of the layer, two of the readout
    for n in range(6):
        for change in (0.01, np.nan):
            changed = [*leaves[:n], leaves[n] + np.float32(change), *leaves[n + 1 :]]
            result = jax.tree.unflatten(structure, changed)
            wrong = Entry("wrong", lambda result=result: result)
            with pytest.raises(compare.UnequalError, match="wrong"):
                compare.check(problem, w, d, [right, wrong])


def test_training_in_one_call_is_numpy_steps_one_after_the_other():
    problem = Problem("tanh", 1, **TINY)
    w, windows = weights(problem), data(problem, windows=2)
    model = Model("lax.scan", of_lax.textbook(problem))
    (params, _), losses = training_entry(model, w, windows).call()
    in_numpy = of_numpy.training_entry(problem, w, windows).call()
    assert losses.shape == (2,)
    layer, readout = params.layers[0], params.readout
    got = [layer.w_x, layer.w_h, layer.b, readout.w, readout.b]
    for ours, theirs in zip(got, in_numpy.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert abs(layer.w_h - w.layers[0].w_h).max() > 0.05


def test_configurations_at_once_and_one_by_one():
    problem = Problem("tanh", 3, **TINY)
    many = jax.tree.map(
        lambda *a: jnp.stack(a), weights(problem), weights(problem._replace(seed=1))
    )
    rates = jnp.array([0.1, 1], jnp.float32)
    squares = lambda w, d: sum((leaf**2).sum() for leaf in jax.tree.leaves(w))
    model = Model("squares", squares)  # quick to compile
    entries = configurations.ways(model, many, rates, None)
    assert len(entries) == 3
    assert configurations.check(entries) < 1e-5
    other = jax.tree.map(lambda a: a * np.float32(1.01), entries[0].call())
    with pytest.raises(compare.UnequalError, match="other: differs from squares"):
        configurations.check([entries[0], Entry("other", lambda: other)])


@pytest.mark.parametrize(("kind", "batch"), [("tanh", 1), ("lstm", 3)])
def test_writers_in_numpy_know_the_same_model(kind, batch):
    problem = Problem(kind, batch, **TINY)
    w = weights(problem)
    expected = sampling.expected_logits(problem, w)
    for name, writer in sampling.numpy_writers(problem, w).items():
        logits = sampling.numpy_logits(writer, problem)
        assert sampling.check(expected, name, logits) < 1e-5
        tokens = writer.write(6)
        assert tokens.shape == ((6,) if batch == 1 else (6, batch))
        assert 0 <= tokens.min() and tokens.max() < 7
        with pytest.raises(compare.UnequalError, match="logits"):
            sampling.check(expected, name, logits + np.float32(0.01))


def test_a_writer_chooses_by_the_probabilities():
    problem = Problem("tanh", 1, **TINY)
    slow, fast = sampling.numpy_writers(problem, weights(problem)).values()
    rng, logits = np.random.default_rng(0), np.log(np.arange(1, 8, dtype=np.float32))
    for choose in (
        lambda: slow.choose(rng, logits),
        lambda: fast.choose(rng, logits),
        lambda: fast.choose(rng, logits[None])[0],
    ):
        counts = np.bincount([choose() for _ in range(2800)], minlength=7)
        np.testing.assert_allclose(counts, 100 * np.arange(1, 8), atol=90)


def test_bare_products_are_counted():
    problem = Problem("lstm", 3, layers=2, **TINY)
    program = jax.make_jaxpr(bare.products(problem))(
        jax.eval_shape(lambda: bare.operands(problem))
    )
    text = str(program)
    # readout 3; each layer two in loops and one behind; the upper layer three more
    assert text.count("dot_general") == 3 + 2 * 3 + 3
    assert text.count("scan[") == 4


def multiplications(jaxpr) -> int:
    """Numbers multiplied in the products of a program, its loops run through."""
    total = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            inner = [eqn.invars[0].aval.shape[axis] for axis in contracted]
            total += math.prod([*eqn.outvars[0].aval.shape, *inner])
        times = eqn.params.get("length", 1)
        for inner in jax.extend.core.jaxprs_in_params(eqn.params):
            total += times * multiplications(inner)
    return total


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", ["tanh", "lstm"])
def test_bare_products_of_training_and_of_writing(kind, batch):
    problem = Problem(kind, batch, **TINY)
    B, T, H, V = batch, problem.time, problem.hidden, problem.vocab
    G = {"tanh": 1, "lstm": 4}[kind]
    once = B * H * V + B * H * G * H  # readout and recurrence of one time step
    operands = jax.eval_shape(lambda: bare.operands(problem))
    of = lambda run: multiplications(jax.make_jaxpr(run)(operands).jaxpr)
    assert of(bare.repeated(problem, 5)) == 5 * T * 3 * once
    assert of(bare.writing(problem, 7)) == 7 * once


# ---- timing


class Clock:
    """Seconds that pass only when someone works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        self.now += seconds


def test_measure_gives_seconds_per_unit_of_work():
    clock, prepared = Clock(), []
    entries = [
        Entry("a", lambda: clock.work(0.5), work=5, prepare=lambda: prepared.append(1)),
        Entry("b", lambda: clock.work(0.002)),
    ]
    passed = []
    seconds = timing.measure(entries, 4, 0, lambda: passed.append(1), clock)
    np.testing.assert_allclose(seconds["a"], [0.1] * 4)
    np.testing.assert_allclose(seconds["b"], [0.002] * 4)
    assert len(prepared) == 5 and len(passed) == 4  # once more to count calls


def test_measure_repeats_what_is_short_and_refuses_equal_names():
    clock, calls = Clock(), []
    entry = Entry("a", lambda: (clock.work(0.001), calls.append(1)))
    timing.measure([entry], 1, clock=clock)
    assert len(calls) == 2 + 1 + round(timing.BLOCK_SECONDS / 0.001)
    with pytest.raises(ValueError, match="occur twice"):
        timing.measure([entry, entry], 1, clock=clock)


# ---- what is shown


def fake_workloads():
    entries = [Entry(n, None) for n in ("jrnn", "lax.scan", "Haiku", "PyTorch")]
    seconds = {
        "jrnn": np.array([0.001, 0.003, 0.002]),
        "lax.scan": np.array([0.004, 0.005, 0.003]),
        "Haiku": np.array([0.001, 0.001, 0.001]),
        "PyTorch": np.array([0.2, 0.1, 0.3]),
    }
    more = {"missing": {"Equinox": "why"}, "bare": np.array([0.001, 0.002])}
    case = record.case("LSTM B3 T5 H4", entries, seconds, **more)
    return {"W2": {"cases": [case]}, "W4": {"cases": [case]}}


def test_a_case_holds_best_and_median_beside_jrnn():
    case = fake_workloads()["W2"]["cases"][0]
    assert case["rounds"] == 3 and case["missing"] == {"Equinox": "why"}
    assert case["variants"]["lax.scan"] == {
        "best": 3.0,
        "median": 4.0,
        "times_reference_best": 3.0,
        "times_reference_median": 2.0,
    }
    assert case["roofline"]["reference_over_products_median"] == 1.33
    json.dumps(case)


def test_characters_a_second_are_larger_where_time_is_shorter():
    seconds = {"jrnn": np.array([0.001, 0.002, 0.004]), "NumPy": np.full(3, 0.01)}
    entries = [Entry(name, None) for name in seconds]
    case = record.case("sampling", entries, seconds, unit="characters/s")
    assert case["variants"]["jrnn"]["best"] == 1000
    floor = record.roofline(np.array([0.0005]), seconds["jrnn"], case["unit"])
    assert floor["best"] == 2000 and floor["reference_over_products_median"] == 4
    assert case["variants"]["NumPy"]["median"] == 100
    assert case["variants"]["NumPy"]["times_reference_median"] == 5


def test_summary_is_a_geometric_mean():
    workloads = fake_workloads()
    case = workloads["W4"]["cases"][0]
    other = {**case["variants"]["lax.scan"], "times_reference_median": 8.0}
    variants = {**case["variants"], "lax.scan": other}
    workloads["W4"] = {"cases": [{**case, "variants": variants}]}
    workloads["W6"] = {"cases": [case]}  # does not count
    s = record.summary(workloads)
    assert s["lax.scan"] == {
        "geometric_mean": 4.0,
        "least": 2.0,
        "most": 8.0,
        "cases": 2,
    }
    assert s["fastest of Flax, Haiku, Equinox"]["geometric_mean"] == 0.5
    assert "jrnn" not in s


def test_summary_of_foreign_cells():
    entries = [Entry("jrnn.scan", None), Entry("lax.scan", None)]
    cases = []
    for title, times in (("Haiku LSTM, B50", 2), ("Haiku LSTM, B16", 8)):
        seconds = {"jrnn.scan": np.ones(2), "lax.scan": np.full(2, times)}
        cases.append(record.case(title, entries, seconds, reference="jrnn.scan"))
    s = record.foreign_summary({"W9": {"cases": cases}})
    assert s["Haiku LSTM"]["geometric_mean"] == s["all"]["geometric_mean"] == 4
    assert record.foreign_summary({}) == {}


def printed(*tables):
    console = Console(width=80, record=True, file=io.StringIO())
    for t in tables:
        console.print(t)
    return console.export_text()


def test_tables_fit_a_terminal_and_name_what_is_missing():
    workloads = fake_workloads()
    text = printed(
        table.tables("W2", workloads["W2"]["cases"][0]),
        table.tables(
            "W7",
            {"title": "memory", "unit": "MiB", "figures": {"T=10": {"jrnn": 1234.5}}},
        ),
        table.summary_table(record.summary(workloads)),
    )
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for expected in ("missing", "2.00", "bare matrix products", "1,234", "MiB"):
        assert expected in text


def test_chart_has_a_bar_for_each_contender():
    workloads = fake_workloads()
    figure = chart.chart(workloads)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["Haiku", "lax.scan", "PyTorch"]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(ends, [0.5, 2.0, 100.0])
    assert axes.get_xscale() == "log"
    plt.close(figure)


# ---- the command


def test_a_missing_library_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "MODULES", {"Flax linen": "peer_not_there"})
    seen = []

    def workload(session):
        seen.append(session)
        yield fake_workloads()["W2"]["cases"][0] | {"missing": session.missing}

    monkeypatch.setattr(run, "WORKLOADS", {"W2": workload, "W4": workload})
    console = Console(width=80, record=True, file=io.StringIO())
    run.main(Config(rounds=3, out=tmp_path), console)
    text = console.export_text()
    assert "Flax linen is missing: No module named" in text
    assert "Traceback" not in text
    metrics = json.loads((tmp_path / "benchmark.json").read_text())["metrics"]
    (case,) = metrics["workloads"]["W4"]["cases"]
    assert "peer_not_there" in case["missing"]["Flax linen"]
    assert set(metrics["versions"]) >= {"jax", "torch", "flax", "equinox"}
    assert (tmp_path / "benchmark.svg").exists()
    # one workload renewed keeps the other
    run.main(Config(only=("W2",), rounds=3, out=tmp_path), console)
    assert len(seen) == 3
    metrics = json.loads((tmp_path / "benchmark.json").read_text())["metrics"]
    assert list(metrics["workloads"]) == ["W2", "W4"]


def test_quick_runs_write_nothing_unless_told_where(monkeypatch):
    monkeypatch.setattr(peers, "MODULES", {})
    monkeypatch.setattr(run, "WORKLOADS", {"W2": lambda session: iter(())})
    monkeypatch.setattr(run, "write", lambda *args: pytest.fail("written"))
    run.main(Config(quick=True), Console(file=io.StringIO()))


def test_the_session_measures_in_rounds():
    cfg = Config(quick=True, rounds=7)
    with Progress(disable=True) as progress:
        session = compare.Session(cfg, progress)
        seconds = session.measure("title", [Entry("jrnn", lambda: None)])
    assert seconds["jrnn"].shape == (2,)
    assert cfg.problem("lstm", 50, 50, 128).title == "LSTM B3 T6 H5"
    assert (
        Config().problem("lstm", 50, 50, 512, 3).title == "LSTM B50 T50 H512 3 layers"
    )


def test_options():
    cfg = tyro.cli(Config, args=["--only", "W1", "W4", "--rounds", "15", "--quick"])
    assert cfg.only == ("W1", "W4") and cfg.rounds == 15 and cfg.quick
    assert math.isclose(record.rounded(1.23456), 1.23)
