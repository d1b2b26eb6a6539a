"""Splits by sequence and by time; scaling."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrnn.data import (
    Dataset,
    Scaling,
    Sequences,
    fit_scaling,
    from_arrays,
    scale,
    scaling_from_json,
    scaling_to_json,
    split_sequences,
    split_time,
    unscale,
    windows,
)

QUICK = settings(deadline=None, max_examples=30)
SHARES = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.5, 0.5), (0.6, 0.4, 0.0), (0.0, 0.3, 0.7)]
)
SEEDS = st.integers(0, 2**64 - 1)


def numbered(n, groups=None):
    """A dataset whose example i is the one step i, and its target too."""
    xs = from_arrays([[i] for i in range(n)])
    return Dataset(xs, np.arange(n), groups)


def steps_of(sequences):
    return {int(v) for x in sequences for v in np.ravel(x)}


# By sequence


@given(st.integers(20, 200), SHARES, SEEDS, st.integers(1, 5))
@QUICK
def test_every_example_is_in_one_part_and_shares_hold(n, shares, seed, classes):
    labels = np.random.default_rng(n).integers(0, classes, n)
    labels[: 2 * classes] = np.arange(2 * classes) % classes  # two of each at least
    data = numbered(n)._replace(groups=labels)  # carried along, to be looked at
    parts = split_sequences(data._replace(groups=None), shares, seed, stratify=labels)
    got = [part.targets.tolist() for part in parts]
    assert sorted(i for g in got for i in g) == list(range(n))
    assert all(g == sorted(g) for g in got)
    for part, share in zip(parts, shares, strict=True):
        assert [x.item() for x in part.inputs] == part.targets.tolist()
        assert len(part.inputs) == pytest.approx(share * n, abs=2 + classes / 2)
        for c in range(classes):
            wanted = share * (labels == c).sum()
            assert (labels[part.targets] == c).sum() == pytest.approx(wanted, abs=2)


@given(st.integers(10, 120), st.integers(6, 10), SEEDS)
@QUICK
def test_groups_stay_together(n, number, seed):
    groups = np.random.default_rng(n).integers(0, number, n).astype(str)
    groups[:number] = np.arange(number).astype(str)
    labels = np.arange(n) % 2
    data = numbered(n, groups)
    parts = split_sequences(data, (0.6, 0.2, 0.2), seed, stratify=labels)
    found = [set(part.groups) for part in parts]
    assert sum(map(len, found)) == number and set.union(*found) == set(groups)
    assert all(len(part.inputs) for part in parts)
    largest = int(np.unique(groups, return_counts=True)[1].max())
    assert len(parts[0].inputs) == pytest.approx(0.6 * n, abs=2 * largest)


@given(
    st.lists(st.integers(1, 12), min_size=8, max_size=20),
    st.integers(1, 5),
    st.integers(1, 5),
    SEEDS,
)
@QUICK
def test_windows_that_share_steps_are_on_one_side(lengths, length, stride, seed):
    values = np.arange(sum(lengths) + 24)
    ends = np.cumsum([*lengths, 8, 8])
    series = from_arrays(np.split(values, ends))
    made = windows(series, length, stride)
    groups = np.searchsorted(ends, made.starts, "right") // 2  # pairs of series
    parts = split_sequences(Dataset(made, groups=groups), (0.5, 0.25, 0.25), seed)
    seen = [steps_of(part.inputs) for part in parts]
    sides = [set(part.groups) for part in parts]
    for a in range(3):
        for b in range(a):
            assert not seen[a] & seen[b]
            assert not sides[a] & sides[b]
    assert sum(len(part.inputs) for part in parts) == len(made)


def test_groups_that_are_tied_by_steps_are_one():
    """Windows 0 and 1 overlap, 1 and 2 are of one group, 2 and 3 overlap."""
    xs = Sequences(np.arange(40), np.array([0, 3, 20, 23, 30, 35]), np.full(6, 5))
    groups = np.array([0, 1, 1, 2, 3, 4])
    for seed in range(20):
        parts = split_sequences(Dataset(xs, np.arange(6), groups), (0.5, 0.5), seed)
        found = [set(part.targets.tolist()) for part in parts]
        assert any({0, 1, 2, 3} <= part for part in found)


def test_a_split_depends_on_its_seed_alone():
    split = lambda seed: [
        part.targets.tolist() for part in split_sequences(numbered(50), seed=seed)
    ]
    assert split(3) == split(3)
    assert len({str(split(seed)) for seed in range(10)}) == 10


def test_each_example_is_in_the_test_equally_often():
    counts = np.zeros(20)
    labels = np.arange(20) % 2
    for seed in range(1000):
        parts = split_sequences(numbered(20), (0.75, 0.25), seed, stratify=labels)
        counts[parts[1].targets] += 1
    expected = counts.sum() / 20
    assert (abs(counts - expected) < 5 * np.sqrt(expected * 0.75)).all()


@given(SEEDS)
@QUICK
def test_no_class_is_met_in_the_test_alone(seed):
    labels = np.repeat(np.arange(40), 2)  # many classes of two
    train, valid, test = split_sequences(numbered(80), seed=seed, stratify=labels)
    assert set(labels[train.targets]) == set(range(40))
    assert len(valid.inputs) == pytest.approx(8, abs=3)
    assert len(test.inputs) == pytest.approx(8, abs=3)


def test_few_sequences_fill_all_parts():
    for seed in range(20):
        parts = split_sequences(numbered(3), seed=seed)
        assert [len(part.inputs) for part in parts] == [1, 1, 1]


def test_a_class_of_one_is_refused_or_kept_for_training():
    labels = np.array(["a"] * 5 + ["b"] + ["a"] * 5)
    with pytest.raises(ValueError, match=r"class 'b' has one example, number 6, which"):
        split_sequences(numbered(11), stratify=labels)
    for seed in range(20):
        parts = split_sequences(
            numbered(11), seed=seed, stratify=labels, single="first"
        )
        assert 5 in parts[0].targets


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_sequences(numbered(1)), "one sequence.*\n.*column.*split_time"),
        (lambda: split_sequences(numbered(2)), "2 sequences are too few for 3 parts"),
        (
            lambda: split_sequences(numbered(9, np.arange(9) % 2)),
            "9 sequences in 2 groups that must stay together are too few for 3 parts",
        ),
        (lambda: split_sequences(numbered(9), (0.5, 0.4)), "sum to 1, got 0.5, 0.4"),
        (lambda: split_sequences(numbered(9), (1.5, -0.5)), "shares must be at least"),
        (lambda: split_sequences(numbered(9), seed=-1), "seed must be from 0"),
        (
            lambda: split_sequences(numbered(9), stratify=[1, 2]),
            r"stratify must have the class of each of the 9 examples, got shape \(2,\)",
        ),
        (
            lambda: split_sequences(numbered(9, np.arange(2))),
            "9 inputs, but 2 groups",
        ),
        (
            lambda: split_sequences(numbered(4), stratify=[0, 1, 2, 0]),
            "class 1 has one example, number 2, and 1 more such classes",
        ),
        (
            lambda: split_time(from_arrays([np.arange(9)]), horizon=3),
            "part 2 of 3 would be empty: the longest series has 9 steps, of which it "
            "gets 10%, and a window needs 3. Give",
        ),
        (
            lambda: split_time(from_arrays([np.arange(20)]), context=18),
            "part 1 of 3 would be empty",
        ),
        (lambda: split_time(from_arrays([[1, 2]]), horizon=0), "horizon must be at"),
        (lambda: split_time(from_arrays([[1, 2]]), context=-1), "context at least 0"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# By time


@given(
    st.lists(st.integers(1, 80), min_size=1, max_size=6),
    SHARES,
    st.integers(1, 3),
    st.integers(0, 6),
)
@QUICK
def test_parts_by_time_never_overlap(lengths, shares, horizon, context):
    lengths = [*lengths, 100]  # one that has a place in every part
    n = sum(lengths)
    series = from_arrays(np.split(np.arange(n), np.cumsum(lengths)[:-1]))
    parts = split_time(series, shares, horizon, context=context)
    of_series = np.repeat(np.arange(len(lengths)), lengths)
    forecast = []
    for part, share in zip(parts, shares, strict=True):
        assert (len(part) == 0) == (share == 0)
        steps = set()
        if len(part):
            for window in windows(part, context + horizon):
                assert len(set(of_series[window])) == 1
                steps |= set(window[context:].tolist())
        forecast.append(steps)
        if context == 0:
            assert steps == steps_of(part)
    for later in range(len(parts)):
        for earlier in range(later):
            assert not forecast[later] & forecast[earlier]
            for i in range(len(lengths)):
                before = [s for s in forecast[earlier] if of_series[s] == i]
                after = [s for s in forecast[later] if of_series[s] == i]
                assert not before or not after or max(before) < min(after)
    # together all steps, but for those that only are read
    assert len(set.union(*forecast) & set(range(n - 100, n))) == 100 - context


# Scaling


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
@QUICK
def test_scaling_is_that_of_numpy(columns, steps, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(size=columns) * 10, 3, (steps, columns))
    x[rng.random(x.shape) < 0.2] = np.nan
    scaling = fit_scaling(Sequences(x, np.array([0]), np.array([steps])))
    for d in range(columns):
        known = x[:, d][~np.isnan(x[:, d])]
        if not len(known):
            assert (scaling.mean[d], scaling.std[d]) == (0, 1)
            continue
        assert scaling.mean[d] == pytest.approx(known.mean())
        spread = known.std() if len(known) > 1 else 1
        assert scaling.std[d] == pytest.approx(spread)
    y = scale(scaling, x)
    np.testing.assert_allclose(
        y, np.nan_to_num((x - scaling.mean) / scaling.std), rtol=1e-12
    )
    np.testing.assert_allclose(unscale(scaling, y)[~np.isnan(x)], x[~np.isnan(x)])


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 10, 1000]))
@QUICK
def test_scaling_sees_the_steps_of_its_sequences_once(seed, at_a_time):
    from jrnn.data import scaling as module

    rng = np.random.default_rng(seed)
    x = rng.normal(5, 2, (60, 2)).astype(np.float32)
    starts, lengths = rng.integers(0, 50, 7), rng.integers(0, 10, 7) + 1
    seen = np.zeros(60, bool)
    for s, t in zip(starts, lengths, strict=True):
        seen[s : s + t] = True
    x[~seen] = np.inf  # what is elsewhere must not matter
    before, module._STEPS = module._STEPS, at_a_time
    try:
        scaling = fit_scaling(Sequences(x, starts, lengths))
    finally:
        module._STEPS = before
    np.testing.assert_allclose(scaling.mean, x[seen].astype(float).mean(0), rtol=1e-12)
    np.testing.assert_allclose(scaling.std, x[seen].astype(float).std(0), rtol=1e-9)


def test_constant_columns_and_flags():
    x = np.stack([np.full(9, 7.1), np.arange(9) % 2, np.arange(9), np.full(9, 1e9)], 1)
    xs = from_arrays([x.astype(np.float32)])
    scaling = fit_scaling(xs)
    assert scaling.std[[0, 1, 3]].tolist() == [1, 1, 1] and scaling.mean[1] == 0
    y = scale(scaling, xs)
    assert y.values.dtype == np.float32 and y.starts is xs.starts
    assert (y.values[:, [0, 3]] == 0).all()
    np.testing.assert_array_equal(y.values[:, 1], x[:, 1])
    np.testing.assert_allclose(unscale(scaling, y).values, x, rtol=1e-6, atol=1e-6)


def test_a_series_of_one_column_and_some_of_the_columns():
    xs = from_arrays([np.array([1.0, 2.0, 6.0])])
    scaling = fit_scaling(xs)
    assert scaling.mean.tolist() == [3.0]
    assert scale(scaling, xs).values.sum() == pytest.approx(0)
    many = Scaling(np.arange(4.0), np.ones(4))
    some = Scaling(*(a[[1, 3]] for a in many))
    assert unscale(some, np.zeros((5, 7, 2)))[0, 0].tolist() == [1, 3]


def test_scaling_comes_back_from_json_to_the_bit():
    rng = np.random.default_rng(0)
    scaling = Scaling(rng.normal(size=5), rng.exponential(size=5))
    back = scaling_from_json(json.loads(json.dumps(scaling_to_json(scaling))))
    for a, b in zip(scaling, back, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_scaling(from_arrays([[np.inf, 1.0]])), "column 0 holds an infin"),
        (lambda: fit_scaling(from_arrays([[1.0]]).take([])), "no steps to fit it on"),
        (
            lambda: scale(Scaling(np.zeros(2), np.ones(2)), np.ones((3, 4))),
            r"scale: the scaling has 2 columns, got an array of shape \(3, 4\)",
        ),
        (
            lambda: unscale(Scaling(np.zeros(1), np.ones(1)), np.ones((3, 4))),
            r"unscale: the scaling has 1 columns, got an array of shape \(3, 4\)",
        ),
        (lambda: scaling_from_json({}), "not a scaling"),
        (
            lambda: scaling_from_json({"format": "jrnn.scaling", "version": 9}),
            "format version 9",
        ),
        *(
            (
                lambda mean=mean, std=std: scaling_from_json(
                    {"format": "jrnn.scaling", "version": 1, "mean": mean, "std": std}
                ),
                "as many numbers, std positive",
            )
            for mean, std in [
                ([1.0], [0.0]),
                ([1.0], [1.0, 2.0]),
                ("x", [1.0]),
                ([None], [1.0]),
            ]
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_tokens_are_not_scaled():
    with pytest.raises(TypeError, match="int32 are tokens, which are not scaled"):
        fit_scaling(from_arrays([[1, 2]]))
