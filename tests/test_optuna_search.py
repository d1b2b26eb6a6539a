"""Searches by Optuna: better than chance, one program, and the same after any stop.

Most of what is run here is compiled in a moment; what the commands train is below.
"""

import json
import math
import re
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary, ordinary_settings  # noqa: F401
from test_cli import TEXT, refused
from test_sweep_tasks import FORWARD, TINY, texts

from jrnn._lock import InUseError, held
from jrnn.cli import main
from jrnn.cli.parsing import parse, training_default
from jrnn.cli.sweep.notices import of_sweep
from jrnn.cli.sweep.options import SweepOptions, base_of, searched, space_of
from jrnn.sweep import (
    Choice,
    LogUniform,
    TableError,
    Uniform,
    draw,
    grid,
    optuna_search,
    ranking,
    read_table,
    searching,
    sweep,
)
from jrnn.sweep.asking import asked

pytest.importorskip("optuna")

AXES = {"rate": LogUniform(1e-4, 1e4), "gain": Uniform(-2, 2)}


def bowl(config, key):
    """Least, 0, at a rate of 20 and a gain of 0.3; the key hardly matters."""
    noise = 1e-3 * jax.random.uniform(key)
    far = jnp.log10(config["rate"] / 20) ** 2 + (config["gain"] - 0.3) ** 2
    return {"loss": far + noise}


search = partial(optuna_search, bowl, AXES, metric="loss")


def watched(module, name, monkeypatch):
    """The arguments of each call of a function from now on."""
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(
        module, name, lambda *args: calls.append(args) or function(*args)
    )
    return calls


def timeless(runs):
    return [run._replace(seconds=0.0) for run in runs]


def test_it_finds_better_than_as_many_random_draws():
    """In 48 trials, three times: by chance alone in one case of eight."""
    far = lambda c: math.log10(c["rate"] / 20) ** 2 + (c["gain"] - 0.3) ** 2
    for seed in range(3):
        runs = search(number=8, rounds=6, seed=seed).runs
        chosen = [far(run.config) for run in runs]
        random = [far(config) for config in draw(48, seed, **AXES)]
        assert min(chosen) < min(random)
        assert np.mean(chosen[24:]) < 0.5 * np.mean(chosen[:8])


def test_all_rounds_are_one_program_and_a_round_is_one_call():
    traced, calls = [], []

    def run(config, key):
        traced.append(config)
        return bowl(config, key)

    found = optuna_search(
        run, AXES, metric="loss", number=5, rounds=4, seeds=3, progress=calls.append
    )
    assert len(traced) == 1 and [len(runs) for runs in calls] == [15] * 4
    (group,) = found.groups
    assert (group.programs, group.runs, group.batch_size) == (1, 60, 8)  # two devices
    assert [run.number for run in found.runs] == list(range(60))
    assert [run.seed for run in found.runs] == [0, 1, 2] * 20
    configs = {repr(run.config) for run in found.runs}
    assert len(configs) == 20
    for run in found.runs:
        assert 1e-4 <= run.config["rate"] <= 1e4 and -2 <= run.config["gain"] <= 2
        alone = bowl(run.config, jax.random.key(run.seed))["loss"]
        np.testing.assert_allclose(run.metrics["loss"], alone, rtol=1e-5)


def test_the_seed_decides_and_more_rounds_go_on(tmp_path):
    whole = search(rounds=4, seed=3)
    assert timeless(search(rounds=4, seed=3).runs) == timeless(whole.runs)
    assert search(rounds=1, seed=4).runs[0].config != whole.runs[0].config
    path = tmp_path / "deep" / "table.csv"
    first = search(rounds=2, seed=3, table=path)
    assert timeless(first.runs) == timeless(whole.runs[:16])
    made = []
    more = search(rounds=4, seed=3, table=path, progress=made.extend)
    assert [run.number for run in made] == list(range(16, 32))
    assert timeless(more.runs) == timeless(whole.runs) == timeless(read_table(path))
    with pytest.raises(TableError, match="holds 4 rounds, and 3 are asked for"):
        search(rounds=3, seed=3, table=path)


# Two groups, which have programs of several widths, and calls of less than a round.
MIXED = {**AXES, "cell": Choice(("gru", 'an "lstm"')), "size": Choice((1, 2.5))}


def mixed(config, key):
    bent = 0.1 * jnp.sin(config["rate"] * jax.random.normal(key))
    more = config["cell"] == "gru"
    return {"loss": bowl(config, key)["loss"] + bent + more + config["size"]}


search_mixed = partial(
    optuna_search,
    mixed,
    MIXED,
    metric="loss",
    number=7,
    rounds=3,
    seeds=2,
    batch_size=3,
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The table and the record of a search that ends, and its runs."""
    path = tmp_path_factory.mktemp("whole") / "table.csv"
    with ordinary():
        runs = search_mixed(table=path).runs
    record = path.with_suffix(".rounds.json")
    return path.read_bytes(), json.loads(record.read_text()), timeless(runs)


@pytest.mark.parametrize(
    "n", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))]
)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(
    n, uninterrupted, tmp_path, monkeypatch
):
    """A kill leaves the rounds asked for, and the lines of some of their runs."""
    whole, record, runs = uninterrupted
    rng = np.random.default_rng(n)
    lines = whole.splitlines(keepends=True)
    cut = int(rng.integers(len(lines[0]), len(whole)))
    numbers = [int(line.split(b",")[0]) for line in whole[:cut].splitlines()[1:-1]]
    rounds = max([number // 14 for number in numbers], default=0) + 1
    path = tmp_path / "table.csv"
    path.write_bytes(whole[:cut])
    left = {**record, "rounds": record["rounds"][:rounds]}
    path.with_suffix(".rounds.json").write_text(json.dumps(left))
    made = []
    asks = watched(searching, "asked", monkeypatch)
    calls = watched(searching, "execute", monkeypatch)
    again = search_mixed(table=path, progress=made.extend)
    assert timeless(again.runs) == runs == timeless(read_table(path))
    assert json.loads(path.with_suffix(".rounds.json").read_text()) == record
    assert [args[2] for args in asks] == [(0, n) for n in range(rounds, 3)]  # seeds
    missing = set(range(42)) - set(numbers)
    assert {run.number for run in made} == missing
    assert all({trial.number for trial in call[1]} & missing for call in calls)


def fails_in_places(config, key):
    """Too large where size is, and without bound for a low gain and the seed 1."""
    extra = jnp.broadcast_to(config["rate"], (config["size"],)).cumsum()[-1]
    second = jax.random.key_data(key)[1] == 1
    gone = jnp.where((config["gain"] < -1) & second, jnp.inf, 0)
    return {"loss": bowl(config, key)["loss"] + 0 * extra + gone}


def only_small_gains(config):
    if config["gain"] > 1:
        raise ValueError("gain must be at most 1.")


@pytest.mark.slow
def test_what_failed_is_kept_and_told_as_the_worst(tmp_path, monkeypatch):
    asks = watched(searching, "asked", monkeypatch)
    axes = {**AXES, "size": Choice((2, 2**46))}  # more numbers than there can be
    path = tmp_path / "table.csv"
    found = optuna_search(
        fails_in_places, axes, metric="loss", number=16, rounds=2, seeds=2,
        structural=["size"], valid=only_small_gains, table=path,
    )  # fmt: skip
    assert timeless(read_table(path)) == timeless(found.runs) and len(found.runs) == 64
    expected = [
        "refused" if run.config["gain"] > 1
        else "out of memory" if run.config["size"] > 2
        else "diverged" if run.config["gain"] < -1 and run.seed == 1
        else "done"
        for run in found.runs
    ]  # fmt: skip
    assert [run.status for run in found.runs] == expected
    assert set(expected) == {"refused", "out of memory", "diverged", "done"}
    nothing, told = (args[3] for args in asks)
    means = [
        math.inf if set(expected[n : n + 2]) != {"done"}
        else np.mean([run.metrics["loss"] for run in found.runs[n : n + 2]])
        for n in range(0, 32, 2)
    ]  # fmt: skip
    assert nothing == [] and [value for _, value in told] == means
    assert [point["rate"] for point, _ in told] == [
        run.config["rate"] for run in found.runs[:32:2]
    ]
    made = []
    again = optuna_search(
        fails_in_places, axes, metric="loss", number=16, rounds=2, seeds=2,
        structural=["size"], valid=only_small_gains, table=path, progress=made.append,
    )  # fmt: skip
    assert not made and timeless(again.runs) == timeless(found.runs)


def test_where_nothing_could_be_made_it_asks_on(monkeypatch):
    def no(config):
        raise ValueError("not this one.")

    asks = watched(searching, "asked", monkeypatch)
    found = search(number=3, rounds=2, valid=no)
    assert [value for _, value in asks[1][3]] == [math.inf] * 3
    assert [run.status for run in found.runs] == ["refused"] * 6
    assert found.groups == [] and len({repr(run.config) for run in found.runs}) == 6


def test_none_is_asked_for_twice():
    two = {"rate": Uniform(1.0, math.nextafter(1.0, 2.0))}  # all numbers that it holds
    run = lambda config, key: {"loss": jnp.square(config["rate"])}
    runs = optuna_search(run, two, metric="loss", number=1, rounds=2).runs
    assert {run.config["rate"] for run in runs} == {*two["rate"]}
    with pytest.raises(ValueError, match="fewer than 3 configurations that differ"):
        optuna_search(run, two, metric="loss", number=1, rounds=3)


def test_a_round_is_spread_over_what_is_good():
    """Without lies about those under way it asks for much the same again and again."""
    told = [({"x": x}, (x - 0.3) ** 2) for x in np.linspace(0, 1, 24)]
    points = asked({"x": Uniform(0, 1)}, 24, [0], told)
    apart = np.diff(np.sort([point["x"] for point in points]))
    assert np.median(apart) > 0.1 / 24  # a tenth of what an even spread has


def test_the_largest_is_found_as_the_smallest_is():
    upside_down = lambda config, key: {"gain": -bowl(config, key)["loss"]}
    search_up = partial(optuna_search, upside_down, AXES, metric="gain", largest=True)
    configs = lambda found: [run.config for run in found.runs]
    assert configs(search_up()) == configs(search())


def test_programs_are_of_few_widths_and_no_wider_than_a_round():
    making = searching._Making(None, (), searching.mesh_for(1), 24, None, {})
    widths = [searching._width(number, making) for number in (1, 2, 3, 5, 9, 17, 24)]
    assert widths == [1, 2, 4, 8, 16, 24, 24]
    several = making._replace(mesh=searching.mesh_for(2), most=12)
    assert [searching._width(n, several) for n in (1, 5, 24)] == [1, 4, 12]


def test_whole_numbers_among_others_are_numbers_like_them():
    """Also of `sweep`, one run at a time: the program is compiled for the first."""
    run = lambda config, key: {"loss": config["rate"] / 2}
    for values in ([1, 2.5], [2.5, 1]):
        found = sweep(run, grid(rate=values), method="map", devices=1)
        assert [run.metrics["loss"] for run in found.runs] == [v / 2 for v in values]
    run = lambda config, key: {"loss": config["size"] / 2}
    for values in ((1, 2.5), (2.5, 1)):
        axes = {**AXES, "size": Choice(values)}
        runs = optuna_search(run, axes, metric="loss", number=1, rounds=5).runs
        assert {run.metrics["loss"] for run in runs} == {0.5, 1.25}


@pytest.mark.parametrize(
    ("more", "kind", "text"),
    [
        ({"number": 0}, ValueError, "number must be a positive integer, got 0"),
        ({"rounds": 1.5}, ValueError, "rounds must be a positive integer, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer"),
        ({"seeds": 0}, ValueError, "seeds must be at least 1"),
        (
            {"metric": "lost"},
            ValueError,
            "no run has the metric 'lost', they have loss",
        ),
        ({"axes": {}}, ValueError, "no axis is a range, Uniform or LogUniform"),
        ({"axes": {"a": Choice((1, 2))}}, ValueError, r"sweep\(run, grid"),
        ({"axes": {"a": Uniform(1, 1)}}, ValueError, "no axis is a range"),
        ({"axes": {"a": Choice(())}}, ValueError, "a has no values"),
        (
            {"axes": {"a": 3.0}},
            TypeError,
            r"a must be .* got float. .* Choice\(\(value,",
        ),
        ({"axes": {"a": Uniform(2, 1)}}, ValueError, "from low to high, got 2 to 1"),
        ({"axes": {"a": Uniform(0, math.inf)}}, ValueError, "from low to high"),
        ({"axes": {"a": LogUniform(0, 1)}}, ValueError, "must start above 0, got 0"),
        ({"axes": {"seed": Uniform(0, 1)}}, ValueError, "seed is a column"),
    ],
)
def test_mistakes_are_named(more, kind, text):
    with pytest.raises(kind, match=text):
        optuna_search(bowl, **{"axes": AXES, "metric": "loss", **more})


def test_another_search_or_a_damaged_record_is_left_alone(tmp_path):
    path = tmp_path / "table.csv"
    record = path.with_suffix(".rounds.json")
    search(rounds=1, table=path)
    table, whole = path.read_bytes(), record.read_text()
    for other, text in [
        ({"seed": 1}, "of another search: seed was 0, here it is 1"),
        ({"number": 4}, "number was 8, here it is 4"),
        ({"seeds": 2}, r"seeds was \[0\], here it is \[0, 1\]"),
        ({"largest": True}, "largest was False"),
    ]:
        with pytest.raises(TableError, match=text):
            search(table=path, **other)
    with pytest.raises(
        TableError, match=r"axis rate was LogUniform\(0.0001, 10000.0\)"
    ):
        optuna_search(bowl, {**AXES, "rate": Uniform(0, 1)}, metric="loss", table=path)
    short = json.loads(whole)
    short["rounds"][0].pop()
    for damaged in (whole[:50], "[]", '{"setting": {}}', json.dumps(short)):
        record.write_text(damaged)
        with pytest.raises(TableError, match="json is damaged"):
            search(table=path)
    record.unlink()
    with pytest.raises(
        TableError, match=r"rounds\.json, which says what was asked for"
    ):
        search(table=path)
    assert path.read_bytes() == table


def test_a_round_is_written_down_before_it_begins(tmp_path):
    def fails(config, key):
        raise KeyboardInterrupt

    path = tmp_path / "table.csv"
    record = path.with_suffix(".rounds.json")
    with pytest.raises(KeyboardInterrupt):
        optuna_search(fails, AXES, metric="loss", table=path)
    assert not path.exists()
    (points,) = json.loads(record.read_text())["rounds"]
    points[0]["gain"] = 0.125  # as another version of Optuna may have asked for
    content = json.loads(record.read_text()) | {"rounds": [points]}
    record.write_text(json.dumps(content))
    runs = search(rounds=1, table=path).runs
    assert [run.config for run in runs] == points


@pytest.mark.slow
def test_two_at_once_are_kept_apart(tmp_path):
    path = tmp_path / "table.csv"
    with held(path), pytest.raises(InUseError, match="is in use by process"):
        search(table=path)
    assert not path.with_suffix(".rounds.json").exists()


def test_without_optuna_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    install = 'package optuna is missing. Install it: pip install "jrnn[optuna]"'
    with pytest.raises(ImportError, match=re.escape(install)):
        search()
    file, out = texts(tmp_path / "letters.tsv"), tmp_path / "out"
    words = ["sweep", "classify", file, "--search", "optuna", "--out", out]
    assert install in refused(capsys, *words)
    assert not out.exists()


# The commands

SEARCH = "--search optuna --rounds 2 --draws 3 --seeds 1".split()


@pytest.mark.slow
@pytest.mark.parametrize("of_text", [True, False], ids=["text", "classify"])
def test_a_sweep_by_optuna_tells_the_best_and_goes_on_where_it_was(
    of_text, tmp_path, capsys
):
    out = tmp_path / "out"
    if of_text:
        (tmp_path / "sea.txt").write_text(TEXT)
        words = ["sweep", tmp_path / "sea.txt", *TINY[:4]]
        words += "--steps 4 --evals 2 --batch-size 2 --window 6 --warmup 1".split()
    else:
        lines = ("vowels\taeiou\n", "others\tbcdfg\n") * 20  # of one shape
        (tmp_path / "t.tsv").write_text("".join(lines))
        words = ["sweep", "classify", tmp_path / "t.tsv", *TINY, *FORWARD]
    words = [*map(str, words), *SEARCH, "--out", str(out)]
    words += ["--learning-rate", "log:1e-3:1e-1:4", "--clip", "0.1,5"]
    assert main(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "6 configurations of learning rate, clip, 2 rounds of 3, chosen by" in said
    assert "1 seeds: 6 trainings of" in said and "1 program compiled" in said
    path = out / "table.csv"
    runs = read_table(path)
    assert [run.status for run in runs] == ["done"] * 6
    rates = {run.config["learning_rate"] for run in runs}
    assert len(rates) == 6 and all(1e-3 <= rate <= 1e-1 for rate in rates)
    judged = "valid_loss" if of_text else "best_loss"
    best = ranking(runs, judged)[0].config
    assert f"--learning-rate {best['learning_rate']}" in said
    if not of_text:  # from here on all is shared
        return
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n4,") + 9])
    assert main(words) == 0
    assert "4 trainings were in the table already" in capsys.readouterr().out
    assert timeless(read_table(path)) == timeless(runs)
    for name, more in {
        "draws": "2",
        "seed": "1",
        "seeds": "2",
        "clip": "0.1,6",
    }.items():
        changed = refused(capsys, *words, f"--{name}", more)
        assert f"holds another sweep: --{name} differs" in changed
    assert main([*words, "--search", "grid"]) == 2
    assert "holds another sweep: --search differs" in capsys.readouterr().err
    fewer = refused(capsys, *words, "--rounds", "1")
    assert "holds 2 rounds, and 1 are asked for" in fewer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--learning-rate 0.1,0.2",
            "--search optuna needs a range, such as --learning",
        ),
        ("--learning-rate log:1e-2:1e-2", "--search optuna needs a range"),
        ("--learning-rate log:0:1:5", "got 'log:0:1:5'"),
        ("--learning-rate log:0.1:1:many", "--learning-rate: expected numbers"),
        ("--rounds 0", "--rounds must be > 0, got 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(words, message, tmp_path, capsys):
    file, out = texts(tmp_path / "letters.tsv"), tmp_path / "out"
    command = ["sweep", "classify", file, "--out", out, *SEARCH, *words.split()]
    assert message in refused(capsys, *command)
    assert not out.exists()


def test_ranges_are_searched_and_listed_values_chosen_from():
    options = SweepOptions(
        search="optuna", dropout="lin:0:0.5", cell="gru,lstm", hidden_size="lin:8:16:2"
    )
    axes = searched(options)
    assert axes["learning_rate"] == LogUniform(1e-3, 1e-1)  # the default, without its 5
    assert axes["dropout"] == Uniform(0, 0.5) and axes["clip"] == Choice((1.0,))
    assert axes["cell"] == Choice(("gru", "lstm"))
    assert axes["hidden_size"] == Choice((8, 16))
    assert list(axes) == list(space_of(options)[0])
    assert len(space_of(options)) == 2**4  # the ends, for what is checked beforehand


def test_rounds_without_optuna_are_told_to_do_nothing():
    words = "sweep x --rounds 5".split()
    options = parse(words, training_default(words))
    told = of_sweep(base_of(options), space_of(options), options)
    assert told == ["--rounds does nothing without --search optuna."]
