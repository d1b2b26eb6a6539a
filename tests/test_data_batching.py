"""Sequences as one value, and batches of them by length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrnn.data import (
    Batch,
    Dataset,
    Sequences,
    batching,
    from_arrays,
    in_order,
    windows,
)
from jrnn.data.buckets import bucket_of, lengths_of, shapes_of

QUICK = settings(deadline=None, max_examples=30)
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=60)
SIZES = st.integers(1, 9)
SEEDS = st.integers(0, 2**64 - 1)


def dataset(lengths, targets=None, seed=0):
    """Random numbers, none of them zero, so that padding can be told from them."""
    rng = np.random.default_rng(seed)
    xs = from_arrays([rng.uniform(1, 2, (t, 3)) for t in lengths])
    if targets == "rows":
        return Dataset(xs, rng.integers(1, 9, len(lengths)))
    if targets == "steps":
        return Dataset(xs, from_arrays([rng.integers(1, 9, t) for t in lengths]))
    if targets == "other":
        return Dataset(
            xs, from_arrays([rng.integers(1, 9, 1 + 2 * t % 7) for t in lengths])
        )
    return Dataset(xs)


def equal(a: Batch, b: Batch):
    for x, y in zip(a, b, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


# One value


@given(LENGTHS)
@QUICK
def test_sequences_are_the_arrays_they_were_made_of(lengths):
    rng = np.random.default_rng(len(lengths))
    arrays = [rng.normal(size=(t, 2)) for t in lengths]
    xs = from_arrays(arrays)
    assert len(xs) == len(arrays)
    for i, array in enumerate(arrays):
        np.testing.assert_array_equal(xs[i], array)
    some = xs.take([len(lengths) - 1, 0])
    np.testing.assert_array_equal(some[0], arrays[-1])
    np.testing.assert_array_equal(some[1], arrays[0])
    assert some.values is xs.values


def test_numbers_have_the_types_that_jax_has_or_keep_their_own():
    dtype = lambda array: from_arrays([array]).values.dtype
    assert dtype(np.arange(3)) == np.int32 == dtype(np.array([True]))
    assert dtype(np.ones(3)) == np.float64 and dtype(np.ones(3, "f4")) == np.float32


@given(LENGTHS, st.integers(1, 12), st.integers(1, 12))
@QUICK
def test_windows_are_slices_of_one_sequence_each(lengths, length, stride):
    values = np.arange(sum(lengths))
    series = from_arrays(np.split(values, np.cumsum(lengths)[:-1]))
    expected = [
        series[i][k : k + length].tolist()
        for i, t in enumerate(lengths)
        for k in range(0, t - length + 1, stride)
    ]
    if not expected:
        with pytest.raises(ValueError, match=f"no sequence has {length} steps"):
            windows(series, length, stride)
        return
    found = windows(series, length, stride)
    assert [w.tolist() for w in found] == expected
    assert found.values is series.values


# Batches


@given(LENGTHS, SIZES, SEEDS, st.sampled_from([None, 1, 3]), st.integers(0, 5))
@QUICK
def test_every_example_comes_exactly_once_an_epoch(lengths, size, seed, buckets, epoch):
    stream = batching(dataset(lengths), size, seed, buckets)
    numbers = range(epoch * stream.per_epoch, (epoch + 1) * stream.per_epoch)
    assert stream.per_epoch == -(-len(lengths) // min(size, len(lengths)))
    seen = np.concatenate([stream.examples(n) for n in numbers])
    assert sorted(seen) == list(range(len(lengths)))


@given(LENGTHS, SIZES, SEEDS, st.sampled_from([None, "rows", "steps", "other"]))
@QUICK
def test_a_batch_holds_its_examples_and_zeros(lengths, size, seed, targets):
    data = dataset(lengths, targets)
    stream = batching(data, size, seed)
    for n in range(2 * stream.per_epoch):
        batch, examples = stream.batch(n), stream.examples(n)
        rows = len(examples)
        assert batch.real.tolist() == [True] * rows + [False] * (len(batch.real) - rows)
        assert batch.lengths.dtype == np.int32
        for row, i in enumerate(examples):
            t = lengths[i]
            assert batch.lengths[row] == t
            np.testing.assert_array_equal(batch.inputs[row, :t], data.inputs[i])
            if targets == "rows":
                assert batch.targets[row] == data.targets[i]
            elif targets is not None:
                t = batch.target_lengths[row]
                np.testing.assert_array_equal(batch.targets[row, :t], data.targets[i])
        # the values are not zero, so nothing but them is there
        assert (batch.inputs != 0).sum() == 3 * batch.lengths.sum()
        assert (batch.lengths[rows:] == 0).all()
        if targets in ("steps", "other"):
            assert (batch.targets != 0).sum() == batch.target_lengths.sum()
        else:
            assert batch.target_lengths is None


@given(LENGTHS, SIZES, SEEDS, st.lists(st.integers(0, 200), max_size=8), st.integers(0))
@QUICK
def test_a_batch_does_not_depend_on_what_was_asked_before(
    lengths, size, seed, others, n
):
    n %= 200
    data = dataset(lengths, "rows")
    stream = batching(data, size, seed)
    for other in others:
        stream.batch(other)
    equal(stream.batch(n), batching(data, size, seed).batch(n))


@given(LENGTHS, SIZES, SEEDS, st.sampled_from([None, "steps", "other"]))
@QUICK
def test_the_share_of_padding_is_what_one_counts(lengths, size, seed, targets):
    stream = batching(dataset(lengths, targets), size, seed)
    real = steps = 0
    for n in range(stream.per_epoch):
        batch = stream.batch(n)
        real += batch.lengths.sum()
        steps += np.prod(batch.inputs.shape[:2])
        if targets:
            real += batch.target_lengths.sum()
            steps += np.prod(batch.targets.shape)
    assert stream.padding == pytest.approx(1 - real / steps)


@given(LENGTHS, SIZES, SEEDS, st.one_of(st.none(), st.integers(1, 5)))
@QUICK
def test_batches_have_few_shapes(lengths, size, seed, buckets):
    data = dataset(lengths, "other")
    stream = batching(data, size, seed, buckets)
    assert len(stream.shapes) <= (16 if buckets is None else buckets)
    found = {
        (b.inputs.shape[1], b.targets.shape[1])
        for b in map(stream.batch, range(3 * stream.per_epoch))
    }
    assert found <= set(stream.shapes)
    assert len({len(b.real) for b in map(stream.batch, range(stream.per_epoch))}) == 1


def test_epochs_and_seeds_differ_and_an_epoch_is_a_random_order():
    data = dataset([5] * 40)
    epoch = lambda seed, e: np.concatenate(
        [batching(data, 8, seed).examples(n) for n in range(5 * e, 5 * e + 5)]
    ).tolist()
    orders = [epoch(seed, e) for seed in (0, 1, 2**64 - 1) for e in range(3)]
    assert len(set(map(tuple, orders))) == 9
    # place of example 0 over many epochs: uniform, 4 standard deviations
    stream = batching(data, 8, 3)
    places = [
        next(n for n in range(5) if 0 in stream.examples(5 * e + n)) for e in range(500)
    ]
    counts = np.bincount(places, minlength=5)
    assert (abs(counts - 100) < 4 * np.sqrt(500 * 0.2 * 0.8)).all()


def test_batches_of_all_lengths_come_in_a_random_order():
    lengths = np.repeat([2, 20], 64)
    stream = batching(dataset(lengths), 8, 0, buckets=2)
    kinds = np.array([stream.batch(n).inputs.shape[1] for n in range(160)])
    assert (kinds == 2).mean() == 0.5
    changes = (np.diff(kinds) != 0).sum()  # 8 of each kind in 16: about half
    assert 55 < changes < 105
    # no epoch is sorted: at 16 batches, one change only
    assert (np.diff(kinds.reshape(10, 16)) != 0).sum(1).min() > 1


def test_the_left_over_examples_are_not_always_the_longest():
    lengths = np.arange(1, 34)
    stream = batching(dataset(lengths), 8, 0)
    left = set()
    for n in range(200):
        batch = stream.batch(n)
        if not batch.real.all():
            assert batch.real.sum() == 1
            left.add(int(batch.lengths[0]))
    assert min(left) < 8 < 25 < max(left)  # of every bucket


# Buckets


def brute(lengths, most):
    """Least total length with at most so many buckets: all choices tried."""
    import itertools

    edges = sorted(set(lengths))
    best = np.inf
    for k in range(most):
        for inner in itertools.combinations(edges[:-1], k):
            shapes = np.array([*inner, edges[-1]])
            best = min(best, shapes[np.searchsorted(shapes, lengths)].sum())
    return best


@given(st.lists(st.integers(1, 9), min_size=1, max_size=15), st.integers(1, 4))
@QUICK
def test_buckets_are_the_best_there_are(lengths, most):
    shapes = shapes_of(np.array(lengths)[:, None], most, 99)
    assert 1 <= len(shapes) <= most
    found = shapes[bucket_of(np.array(lengths)[:, None], shapes)].sum()
    assert found == brute(lengths, most)


def test_the_fewest_buckets_with_padding_under_a_tenth():
    lengths = np.random.default_rng(0).integers(5, 501, (20_000, 1))
    share = lambda shapes: 1 - lengths.sum() / shapes[bucket_of(lengths, shapes)].sum()
    shapes = shapes_of(lengths, None, 10_000)
    assert share(shapes) <= 0.1 and len(shapes) <= 16
    fewer = shapes_of(lengths, len(shapes) - 1, 10_000)
    assert share(fewer) > 0.1
    # where there are few batches, few of them are of several buckets
    assert len(shapes_of(lengths, None, 5)) == 2
    assert len(shapes_of(lengths, None, 1)) == 1


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1),
    st.integers(1, 5),
)
@QUICK
def test_shapes_of_pairs_grow_and_hold_every_example(pairs, most):
    lengths = np.array(pairs)
    shapes = shapes_of(lengths, most, 99)
    assert len(shapes) <= most and (np.diff(shapes, axis=0) >= 0).all()
    assert (shapes[bucket_of(lengths, shapes)] >= lengths).all()
    assert shapes[-1].tolist() == lengths.max(0).tolist()


def test_buckets_of_ones_own_and_of_other_data():
    data = dataset([3, 5, 9, 12])
    assert batching(data, 1, 0, buckets=(10, 4)).shapes == ((4,), (10,), (12,))
    assert batching(data, 1, 0, buckets=(6, 20)).shapes == ((6,), (20,))
    pairs = dataset([3, 5, 9], "steps")
    shapes = batching(pairs, 1, 0, buckets=((4, 6), (8, 8))).shapes
    assert shapes == ((4, 6), (8, 8), (9, 9))
    train = batching(pairs, 1, 0)
    assert batching(pairs, 1, 0, buckets=train.shapes).shapes == train.shapes


def test_lengths_of_nothing_are_padded_to_one_step():
    inputs = Sequences(np.zeros(0), np.array([0]), np.array([0]))
    assert lengths_of(Dataset(inputs)).tolist() == [[1]]
    batch = batching(Dataset(inputs), 1, 0).batch(0)
    assert batch.inputs.shape == (1, 1) and batch.real.all()


# In order


@given(LENGTHS, SIZES, st.sampled_from([None, 1, 4]))
@QUICK
def test_in_order_gives_each_example_once_and_tells_which(lengths, size, buckets):
    data = dataset(lengths, "rows")
    answers = np.full(len(lengths), -1)
    before = 0
    for examples, batch in in_order(data, size, buckets):
        assert (answers[examples] == -1).all()
        answers[examples] = batch.targets[batch.real]
        assert batch.lengths[batch.real].tolist() == [lengths[i] for i in examples]
        assert batch.inputs.shape[1] >= before
        before = batch.inputs.shape[1]
    np.testing.assert_array_equal(answers, data.targets)


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_arrays([]), "from_arrays: there are no sequences"),
        (lambda: from_arrays([[1.0], 2.0]), "from_arrays: sequence 1 is one number"),
        (lambda: from_arrays([[1], []]), "from_arrays: sequence 1 has no steps"),
        (
            lambda: from_arrays([np.ones((2, 3)), np.ones((2, 4))]),
            r"a step of sequence 1 has shape \(4,\), of sequence 0 \(3,\)",
        ),
        (lambda: from_arrays([[2**40]]), "do not fit int32"),
        (
            lambda: Sequences(np.ones(3), np.array([0, 2]), np.array([2, 2])),
            "sequence 1 begins at 2 and has 2 steps, but there are 3 steps in all",
        ),
        (lambda: Sequences(np.ones(3), np.array([0]), np.array([2, 2])), "as many"),
        (
            lambda: windows(from_arrays([[1]]), 0),
            "windows: length must be at least",
        ),
        (
            lambda: windows(from_arrays([[1]]), 1, 0),
            "windows: stride must be at least",
        ),
        (lambda: batching(dataset([1]), 0, 0), "batch_size must be at least 1, got 0"),
        (lambda: batching(dataset([1]), 1, -1), "seed must be from 0 to"),
        (lambda: batching(dataset([1]), 1, 0, 0), "buckets must be at least 1, got 0"),
        (lambda: batching(dataset([1]), 1, 0, (0,)), "buckets must be a number, or"),
        (
            lambda: batching(dataset([1]), 1, 0, ((3, 4),)),
            "buckets must be a number, or lengths",
        ),
        (
            lambda: batching(dataset([1])._replace(targets=np.ones(3)), 1, 0),
            "batching: the dataset has 1 inputs, but 3 targets",
        ),
        (
            lambda: in_order(dataset([1])._replace(groups=np.ones(3)), 1),
            "in_order: the dataset has 1 inputs, but 3 groups",
        ),
        (
            lambda: in_order(Dataset(from_arrays([[1]]).take([])), 1),
            "in_order: the dataset has no examples",
        ),
        (lambda: batching(dataset([1]), 1, 0).batch(-1), "batches count from 0"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_text_is_no_sequence_of_numbers():
    with pytest.raises(TypeError, match=r"sequences hold numbers, got <U1.*tokens"):
        from_arrays([["a", "b"]])
