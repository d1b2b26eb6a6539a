"""Sweeps: every run is the run made alone, and nothing that happens to one is lost."""

import csv
import io
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settings import ordinary_settings  # noqa: F401

import jrnn
from jrnn import optimizers
from jrnn.sweep import (
    Choice,
    LogUniform,
    Run,
    TableError,
    Uniform,
    draw,
    grid,
    ranking,
    read_table,
    successive_halving,
    sweep,
)
from jrnn.sweep import table as tables
from jrnn.sweep.sweeping import within_memory

# at larger rates rounding grows faster: at 0.3 to 4e-4 within these ten updates
SPACE = grid(rate=[0.01, 0.05], clip=[0.5, 2.0], hidden_size=[3, 4])


def train(config, key, updates=10):
    """A tanh network on the sum of its inputs, Adagrad with clip; errors over time."""
    model = jrnn.stack(jrnn.elman(config["hidden_size"]), jrnn.linear(1))
    init_key, data_key = jax.random.split(key)
    xs = jax.random.normal(data_key, (4, 6, 2))
    rule = optimizers.adagrad(config["rate"], config["clip"])

    def loss(params):
        run = lambda xs: jrnn.unroll(model, params, xs)[1][-1, 0]
        return jnp.square(jax.vmap(run)(xs) - xs.sum((1, 2))).mean()

    def update(state, _):
        params, memory = state
        value, g = jax.value_and_grad(loss)(params)
        steps, memory = rule.update(g, memory, params)
        return (jax.tree.map(jnp.add, params, steps), memory), value

    params = model.init(init_key, xs[0, 0])
    _, losses = jax.lax.scan(update, (params, rule.init(params)), length=updates)
    return {"loss": losses, "last": losses[-1]}


def square(config, key):
    """Gradient descent on x^2: quick to compile, diverges for a rate above 1."""
    x = 1 + jax.random.uniform(key)
    return {"loss": x * (1 - 2 * config["rate"]) ** 40}


swept = partial(sweep, train, SPACE, seeds=2, structural=["hidden_size"])


@pytest.fixture(scope="module")
def one_by_one():
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
            return swept(method="map")


@pytest.mark.slow
def test_map_is_bit_for_bit_the_run_alone(one_by_one):
    programs = {
        size: jax.jit(lambda rate, clip, key, size=size: train(
            {"rate": rate, "clip": clip, "hidden_size": size}, key
        ))
        for size in (3, 4)
    }  # fmt: skip
    assert len(one_by_one.runs) == 16
    for number, run in enumerate(one_by_one.runs):
        c = run.config
        alone = programs[c["hidden_size"]](
            c["rate"], c["clip"], jax.random.key(run.seed)
        )
        assert run.number == number and run.status == "done" and run.batch_size == 1
        assert run.config == SPACE[number // 2] and run.seed == number % 2
        assert run.metrics["loss"] == np.asarray(alone["loss"]).tolist()
        assert run.metrics["last"] == float(alone["last"])


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 3])
def test_vmap_is_the_run_alone_up_to_rounding(one_by_one, batch_size):
    found = swept(method="vmap", batch_size=batch_size)
    for run, alone in zip(found.runs, one_by_one.runs, strict=True):
        assert (run.config, run.seed) == (alone.config, alone.seed)
        np.testing.assert_allclose(
            run.metrics["loss"], alone.metrics["loss"], rtol=1e-5, atol=1e-5
        )
    # eight runs of each size over two devices: in one call, or in two of 3 + 3 and 2
    assert {group.batch_size for group in found.groups} == {batch_size or 4}
    assert [group.programs for group in found.groups] == [1, 1]


def test_values_compile_nothing_anew_and_structure_does():
    traced = []

    def run(config, key):
        traced.append(config["hidden_size"])
        return square(config, key)

    space = grid(rate=[0.1, 0.2, 0.3, 0.4, 0.45], hidden_size=[8, 16])
    found = sweep(run, space, seeds=3, structural=["hidden_size"], method="vmap")
    assert traced == [8, 16]
    assert [(g.fixed["hidden_size"], g.runs) for g in found.groups] == [
        (8, 15),
        (16, 15),
    ]


def test_words_are_structural_of_themselves():
    names = []

    def run(config, key):
        names.append(config["cell"])
        return square(config, key)

    sweep(run, grid(cell=["gru", "lstm"], rate=[0.1]), method="map")
    assert names == ["gru", "lstm"]


@pytest.mark.slow
def test_auto_widens_while_it_pays_and_makes_every_run_once(monkeypatch):
    from jrnn.sweep import choose

    cost = {(1, False): 1.0, (1, True): 1.1, (8, False): 0.5, (19, False): 0.6}
    timed = choose._time
    ways = []

    def pretend(program, trials):
        ways.append((program.batch_size, program.one_thread, len(trials)))
        return cost[ways[-1][:2]], timed(program, trials)[1]

    monkeypatch.setattr(choose, "_time", pretend)
    space = grid(rate=np.linspace(0.1, 0.4, 58))
    found = sweep(square, space, devices=2)
    assert ways == [(1, False, 2), (1, True, 2), (8, False, 16), (19, False, 38)]
    assert [run.number for run in found.runs] == list(range(58))
    cost[8, False] = 0.99
    ways.clear()
    found = sweep(square, space, devices=2)
    assert ways == [(1, False, 2), (1, True, 2), (8, False, 16)]
    assert [run.batch_size for run in found.runs].count(1) == 2 + 58 - 18
    (group,) = found.groups
    assert (group.programs, group.batch_size, group.one_thread) == (3, 1, False)
    cost[1, True] = 0.4
    (group,) = sweep(square, space, devices=2).groups
    assert (group.programs, group.batch_size, group.one_thread) == (3, 1, True)
    cost[1, False] = 0.1  # so short that 8 are made in a call of each device
    ways.clear()
    found = sweep(square, space, devices=2)
    assert ways == [(1, False, 2), (1, True, 16), (8, False, 16)]
    assert [run.number for run in found.runs] == list(range(58))
    ways.clear()
    sweep(square, space, devices=1)  # one device has all cores
    assert set(ways) == {(1, False, 1), (8, False, 8)}


def test_auto_times_short_runs_several_times(monkeypatch):
    from jrnn.sweep import choose

    calls = []
    timed = choose._time

    def pretend(program, trials):
        calls.append(program.batch_size)
        slow = len(calls) == 1  # as a first call is
        cost = 0.02 if program.batch_size > 1 else 0.05 if slow else 0.01
        return cost, timed(program, trials)[1]

    monkeypatch.setattr(choose, "_time", pretend)
    found = sweep(square, grid(rate=np.linspace(0.1, 0.4, 60)), devices=1)
    assert calls == [1] * 4 + [8] and len(found.runs) == 60
    assert found.groups[0].programs == 2
    assert [run.batch_size for run in found.runs[12:]] == [1] * 48


def test_auto_does_without_products_of_one_thread_where_there_are_none(monkeypatch):
    from jrnn.sweep import execute

    monkeypatch.setattr(execute, "ONE_THREAD", {"no_such_option": True})
    found = sweep(square, grid(rate=[0.1, 0.2, 0.3, 0.4]), devices=2)
    assert [run.status for run in found.runs] == ["done"] * 4
    assert not found.groups[0].one_thread


def test_auto_goes_on_with_what_fitted_when_wider_does_not(monkeypatch):
    from jrnn.sweep import choose

    timed = choose._time

    def full(program, trials):
        if program.batch_size > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return timed(program, trials)

    monkeypatch.setattr(choose, "_time", full)
    found = sweep(square, grid(rate=np.linspace(0.1, 0.4, 9)))
    assert [run.status for run in found.runs] == ["done"] * 9


# What goes wrong


def test_diverged_refused_and_too_large_runs_are_recorded(tmp_path):
    def valid(config):
        if config["rate"] < 0:
            raise ValueError(f"rate must be positive, got {config['rate']}.")

    def run(config, key):
        size = config["size"]
        # more numbers than any address space holds
        extra = jnp.broadcast_to(config["rate"], (size,)).cumsum()[-1]
        return {"loss": square(config, key)["loss"] + 0 * extra, "rate": config["rate"]}

    space = grid(size=[2, 2**46], rate=[0.1, 1e30, -1.0])
    path = tmp_path / "table.csv"
    found = sweep(
        run, space, structural=["size"], method="vmap", valid=valid, table=path
    )
    expected = ["done", "diverged", "refused", *["out of memory"] * 2, "refused"]
    assert [r.status for r in found.runs] == expected
    assert found.runs[2].note == "rate must be positive, got -1.0."
    assert found.runs[3].note == "one run is too large"
    back = read_table(path)
    assert [r.status for r in back] == expected
    again = sweep(run, space, structural=["size"], valid=valid, table=path)
    assert again.groups == []
    rows = ranking(found.runs, "loss")
    assert rows[0].config == {"size": 2, "rate": 0.1} and rows[0].failed == 0
    assert all(row.failed == 1 for row in rows[1:])


def test_what_was_made_before_memory_ran_out_is_kept():
    trials = [tables.Trial(n, {"rate": 0.1}, n) for n in range(5)]
    made = [Run(*trial, "done", {"loss": 1.0}, 0.0, 4) for trial in trials[:2]]

    def parts():
        yield None, made
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    (_, first), (_, rest) = within_memory(parts(), trials, 4)
    assert first == made and [run.number for run in rest] == [2, 3, 4]
    assert {(r.status, r.note) for r in rest} == {("out of memory", "try batch_size=2")}


ERRORS = [
    (lambda: grid(rate=[]), ValueError, "grid: rate has no values"),
    (lambda: draw(0, 0), ValueError, "number must be at least 1, got 0"),
    (
        lambda: draw(1, 0, a=[1]),
        TypeError,
        "must be Uniform, LogUniform or Choice, got",
    ),
    (lambda: draw(1, 0, a=Choice(())), ValueError, "draw: a has no values"),
    (
        lambda: draw(1, 0, a=Uniform(2, 1)),
        ValueError,
        "a must go from low to high, got 2",
    ),
    (lambda: draw(1, 0, a=LogUniform(0, 1)), ValueError, "must start above 0, got 0"),
    (lambda: sweep(square, []), ValueError, "the space is empty"),
    (lambda: sweep(square, SPACE, seeds=0), ValueError, "seeds must be at least 1"),
    (lambda: sweep(square, SPACE, seeds=[1, 1]), ValueError, "seeds must differ"),
    (
        lambda: sweep(square, [{"rate": 1.0}, {"rat": 1.0}]),
        ValueError,
        "all configurations need the same names",
    ),
    (
        lambda: sweep(square, [{"seed": 1}]),
        ValueError,
        "seed is a column of the table's",
    ),
    (
        lambda: sweep(square, SPACE, structural=["cell"]),
        ValueError,
        "structural names cell, the configurations have clip, hidden_size, rate",
    ),
    (lambda: sweep(square, SPACE, batch_size=0), ValueError, "batch_size must be at"),
    (
        lambda: sweep(square, SPACE, devices=99),
        ValueError,
        "devices must be 1 to 2, got",
    ),
    (lambda: ranking([], "loss"), ValueError, "no run has the metric 'loss'"),
    (
        lambda: successive_halving(None, None, SPACE, steps=[2, 2]),
        ValueError,
        "steps must rise from above 0",
    ),
    (
        lambda: successive_halving(None, None, SPACE, steps=[1], keep=0),
        ValueError,
        r"keep must be in \(0, 1\], got 0",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_mistakes_are_named(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_cores_that_could_lock_each_other_are_not_used_at_once(monkeypatch):
    two = sweep(square, grid(rate=[0.1, 0.2]), method="vmap")
    assert two.groups[0].batch_size == 1  # one on each device
    monkeypatch.delenv("PJRT_NPROC")
    one = sweep(square, grid(rate=[0.1, 0.2]), method="vmap")
    assert one.groups[0].batch_size == 2
    with pytest.raises(ValueError, match=r"PJRT_NPROC to 16 or more\.$"):
        sweep(square, grid(rate=[0.1]), devices=2)


# Spaces


def test_draws_lie_in_their_limits_and_follow_the_seed():
    axes = {
        "rate": LogUniform(1e-4, 1.0),
        "gain": Uniform(-1.0, 2.0),
        "cell": Choice(("gru", "lstm")),
    }
    space = draw(400, 3, **axes)
    assert space == draw(400, 3, **axes) != draw(400, 4, **axes)
    rates = np.array([c["rate"] for c in space])
    gains = np.array([c["gain"] for c in space])
    assert (1e-4 <= rates).all() and (rates <= 1).all() and abs(gains).max() <= 2
    # a quarter of a log-uniform between each two powers of ten
    counts = np.histogram(np.log10(rates), bins=[-4, -3, -2, -1, 0])[0]
    assert counts.min() > 60
    assert {c["cell"] for c in space} == {"gru", "lstm"}


# Tables


def test_a_table_holds_every_run_and_only_the_rest_is_made(tmp_path):
    path = tmp_path / "deep" / "table.csv"
    space = grid(rate=[0.1, 0.2, 0.3], cell=["a", 'b, "c"'])
    first = sweep(square, space[:4], seeds=2, table=path, method="map")
    made = []
    whole = sweep(
        square, space, seeds=2, table=path, method="map", progress=made.extend
    )
    assert [run.number for run in made] == [8, 9, 10, 11]
    assert read_table(path) == whole.runs
    timeless = lambda runs: [run._replace(seconds=0.0) for run in runs]
    assert timeless(whole.runs[:8]) == timeless(first.runs)
    assert timeless(whole.runs) == timeless(
        sweep(square, space, seeds=2, method="map").runs
    )
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    # group by group, as they ended
    assert [line["cell"] for line in lines] == [*"aaaa", *['b, "c"'] * 4, *"aa"] + [
        'b, "c"'
    ] * 2
    assert float(lines[0]["metric loss"]) == whole.runs[0].metrics["loss"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_table_cut_anywhere_is_completed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "table.csv"
    trials = [tables.Trial(n, {"rate": n / 7, "cell": "é"}, 0) for n in range(5)]
    runs = [
        Run(*trial, "done", {"loss": [1.0, trial.number]}, 0.5, 1) for trial in trials
    ]
    tables.append(path, runs)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    left = tables.resume(path, trials)
    assert left == runs[: len(left)]
    if rest := runs[len(left) :]:
        tables.append(path, rest)
    assert path.read_bytes() == whole


def test_new_metrics_bring_new_columns(tmp_path):
    path = tmp_path / "table.csv"
    refused = Run(0, {"rate": -1.0}, 0, "refused", {}, 0.0, 0, "no")
    done = Run(1, {"rate": 1.0}, 0, "done", {"loss": math.inf}, 1.0, 4)
    tables.append(path, [refused])
    tables.append(path, [done])
    assert read_table(path) == [refused, done]


def test_the_table_of_another_sweep_is_left_alone(tmp_path):
    path = tmp_path / "table.csv"
    sweep(square, grid(rate=[0.1, 0.2]), table=path, method="map")
    before = path.read_bytes()
    with pytest.raises(TableError, match="is the table of another sweep"):
        sweep(square, grid(rate=[0.1, 0.3]), table=path)
    assert path.read_bytes() == before
    path.write_text("name,age\nAda,36\n")
    with pytest.raises(TableError, match="is not the table of a sweep"):
        read_table(path)
    with pytest.raises(TableError, match="is not the table of a sweep"):
        sweep(square, grid(rate=[0.1]), table=path)
    assert path.read_text() == "name,age\nAda,36\n"


# Ranking


def test_ranking_by_mean_over_seeds_with_its_error():
    def made(config, *values, status="done"):
        return [Run(0, config, s, status, {"v": v}, 0, 1) for s, v in enumerate(values)]

    runs = [
        *made({"a": 1}, 1.0, 3.0, 5.0),
        *made({"a": 2}, 2.0),
        *made({"a": 3}, 0.0),
        *made({"a": 3}, math.nan, status="diverged"),
    ]
    rows = ranking(runs, "v")
    assert [row.config["a"] for row in rows] == [2, 1, 3]
    assert rows[1].mean == 3 and rows[1].error == pytest.approx(2 / math.sqrt(3))
    assert math.isnan(rows[0].error) and rows[2].failed == 1
    assert [r.config["a"] for r in ranking(runs, "v", largest=True)] == [1, 2, 3]


# Halving


def start(config, key):
    return 1 + jax.random.uniform(key), key, jnp.zeros((), jnp.int32)


def descend(config, state, num_steps):
    """Noisy descent on x^2, which diverges for a rate above 1."""

    def step(state, _):
        x, key, n = state
        noise = 0.01 * jax.random.normal(jax.random.fold_in(key, n))
        return (x * (1 - 2 * config["rate"]) + noise, key, n + 1), None

    state = jax.lax.scan(step, state, length=num_steps)[0]
    return state, state[0] ** 2


@pytest.mark.slow
def test_survivors_of_halving_are_the_runs_made_whole():
    space = grid(rate=[0.001, 0.01, 0.05, 0.1, 0.3, 2.0], cell=["a", "b", "c"])
    rungs = successive_halving(start, descend, space, steps=[2, 5, 20], seeds=3)
    assert [len(r.configs) for r in rungs] == [18, 6, 2]
    assert [r.steps for r in rungs] == [2, 5, 20]
    seeds = jnp.arange(3)
    for rung in rungs:
        assert rung.losses == sorted(rung.losses)

        def whole(rate, seed, steps=rung.steps):
            config = {"rate": rate}
            return descend(config, start(config, jax.random.key(seed)), steps)[1]

        rates = jnp.array([config["rate"] for config in rung.configs])
        each = jax.vmap(jax.vmap(whole, (None, 0)), (0, None))
        expected = jax.jit(each)(rates, seeds).mean(1)
        np.testing.assert_allclose(rung.losses, expected, rtol=1e-5)
    assert all(config["rate"] == 0.3 for config in rungs[1].configs[:2])


@pytest.mark.slow
def test_halving_that_keeps_all_stops_what_diverges():
    space = grid(rate=[0.1, 0.2, 1e30])
    rungs = successive_halving(start, descend, space, steps=[3, 6], keep=1, devices=1)
    assert [len(r.configs) for r in rungs] == [3, 2]
    assert rungs[0].losses[-1] == math.inf
    gone = successive_halving(start, descend, grid(rate=[1e30]), steps=[3, 6, 9])
    assert len(gone) == 1
