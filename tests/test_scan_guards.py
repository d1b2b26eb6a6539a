"""What the compiled gradient of `scan` contains: guards that need no clock."""

import re
import sys
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax
import pytest
from jax import lax

from jrnn import mlstm
from jrnn.scan import scan, scan_report
from jrnn.scan.cpu.overwrite import evaluate_in_place

pytestmark = [
    pytest.mark.usefixtures("engine_runs"),
    pytest.mark.skipif(
        jax.config.jax_disable_jit, reason="programs are counted, and none is made"
    ),
]

T, B, H, V = 11, 5, 7, 13  # all different, so that a shape tells what an array is


def tanh(w_x, w_h, b):
    def step(h, x):
        h = jnp.tanh(w_x[x] + h @ w_h + b)
        return h, h

    return step, lambda h: h


def parts(z, count):
    return jnp.split(z, count, -1)


def lstm(w_x, w_h, b):
    def step(c, x):
        i, f, g, o = parts(w_x[x] + c[0] @ w_h + b, 4)
        c = jax.nn.sigmoid(f) * c[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return step, lambda h: (h, h)


def gru(w_x, w_h, b):
    def step(h, x):
        rx, ux, nx = parts(w_x[x] + b, 3)
        rh, uh, nh = parts(h @ w_h + b, 3)
        u = jax.nn.sigmoid(ux + uh)
        h = (1 - u) * jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh) + u * h
        return h, h

    return step, lambda h: h


CELLS = {"tanh": (tanh, 1), "lstm": (lstm, 4), "gru": (gru, 3)}


def weights(gates, hidden=H):
    shapes = (V, gates * hidden), (hidden, gates * hidden), (gates * hidden,)
    return tuple(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)


def gradient(run, cell, batched_by_vmap=True, hidden=H):
    def one(w, xs):
        step, start = cell(*w)
        return jnp.sum(run(step, start(jnp.zeros(hidden, jnp.float32)), xs)[1] ** 2)

    return jax.grad(lambda w, xs: jax.vmap(one, (None, 1))(w, xs).sum())


def compiled(run, name, length=T, batch=B, hidden=H, **options):
    cell, gates = CELLS[name]
    xs = jax.ShapeDtypeStruct((length, batch), jnp.int32)
    f = jax.jit(gradient(run, cell, hidden=hidden))
    return f.lower(weights(gates, hidden), xs).compile(compiler_options=options)


def as_outside_of_tests():
    """Options of the compiler: programs of tests are compiled in a faster way."""
    old = version("jaxlib").startswith("0.10.")  # later ones do not know the flag
    return {"xla_cpu_use_fusion_emitters": True} if old else {}


def computations(hlo):
    """The lines of every computation of a compiled program, by name."""
    found, name = {}, None
    for line in hlo.splitlines():
        head = re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head and not line.startswith(" "):
            name = head[1]
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def bodies(hlo):
    """The lines of every loop body, with those of all that it calls."""
    found = computations(hlo)

    def reach(name):
        lines = list(found[name])
        for line in found[name]:
            for called in re.findall(r"(?:calls|to_apply|body)=%?([\w.\-]+)", line):
                lines += reach(called)
        return lines

    names = re.findall(r"body=%?([\w.\-]+)", hlo)
    return {name: (found[name], reach(name)) for name in names}


def dots_in_loops(hlo):
    return sum(
        bool(re.search(r" dot\(|custom-call\(.*(gemm|matmul)", line))
        for _, lines in bodies(hlo).values()
        for line in lines
    )


def accumulators(hlo):
    """The shapes of what a loop body gives back changed."""
    shapes = []
    for own, _ in bodies(hlo).values():
        line = dict(
            re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)", x).groups()
            for x in own
            if " = " in x
        )
        (root,) = [x for x in own if "ROOT" in x]
        for name in re.findall(r"%?([\w.\-]+)[,)]", root.split(" tuple(")[1]):
            if name in line and "get-tuple-element(" not in line[name].split(", ")[0]:
                shapes += re.findall(r"^\w+\[([\d,]+)\]", line[name])
    return shapes


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_one_product_in_each_loop(name):
    # One step forward and one backward each need one; all the others are outside.
    assert dots_in_loops(compiled(scan, name).as_text()) == 2
    assert dots_in_loops(compiled(lax.scan, name).as_text()) == 3


@pytest.mark.parametrize("name", CELLS)
def test_no_weight_is_accumulated_in_a_loop(name):
    gates = CELLS[name][1]
    w_h = {f"{H},{gates * H}", f"{gates * H},{H}"}
    assert not w_h & set(accumulators(compiled(scan, name).as_text()))
    assert w_h & set(accumulators(compiled(lax.scan, name).as_text()))


def test_no_bias_is_accumulated_in_a_loop():
    def bias_only(w_x, w_h, b):
        def step(h, x):
            h = jnp.tanh(h * x.astype(h.dtype) + b)
            return h, h

        return step, lambda h: h

    xs = jax.ShapeDtypeStruct((T, B), jnp.int32)
    found = [
        accumulators(
            jax.jit(gradient(run, bias_only)).lower(weights(1), xs).compile().as_text()
        )
        for run in (scan, lax.scan)
    ]
    assert [f"{H}" in shapes for shapes in found] == [False, True]


@pytest.mark.parametrize("name", CELLS)
def test_temporary_memory_is_not_more(name):
    own, plain = (
        compiled(run, name, 64, 16, 32).memory_analysis().temp_size_in_bytes
        for run in (scan, lax.scan)
    )
    # A GRU has two products per step, whose gradients wait for the end of the loop.
    assert own <= (1.3 if name == "gru" else 1.05) * plain


@pytest.mark.slow
def test_chunks_bound_memory():
    """With the loss inside the step, what is kept grows with the square root of T."""
    length, batch, hidden = 10_000, 16, 64

    def memory(**options):
        def loss(w, xs):
            step, start = lstm(*w)

            def with_loss(c, x):
                c, h = step(c, x)
                return c, jnp.sum(h**2)

            zeros = jnp.zeros((batch, hidden), jnp.float32)
            return scan(with_loss, start(zeros), xs, **options)[1].sum()

        w_x, w_h, b = weights(4, hidden)
        b = jax.ShapeDtypeStruct((1, *b.shape), b.dtype)
        xs = jax.ShapeDtypeStruct((length, batch), jnp.int32)
        program = jax.jit(jax.grad(loss)).lower((w_x, w_h, b), xs).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert memory(remat="chunk") * 20 <= memory()


@pytest.mark.slow
@pytest.mark.parametrize("remat", [None, "chunk"])
def test_one_trace_over_changing_data(remat):
    traces, counts = [], []

    def cell(*w):
        step, start = lstm(*w)

        def counted(c, x):
            traces.append(1)
            return step(c, x)

        return counted, start

    f = jax.jit(gradient(lambda *args: scan(*args, remat=remat), cell))
    for seed in range(3):
        make = lambda s: jax.random.normal(jax.random.key(seed), s.shape, s.dtype)  # noqa: B023
        xs = jax.random.randint(jax.random.key(seed), (T, B), 0, V)
        f(tuple(make(s) for s in weights(4)), xs)
        counts.append(len(traces))
    assert counts[0] == counts[2] <= (1 if remat is None else 4)


@pytest.mark.parametrize("name", CELLS)
def test_no_array_of_all_steps_is_copied_in_a_loop(name):
    for lines, _ in bodies(compiled(scan, name).as_text()).values():
        copies = [line for line in lines if re.search(r"\[[\d,]*\]\S* copy\(", line)]
        sizes = [re.search(r"\[([\d,]*)\]\S* copy\(", line)[1] for line in copies]
        assert not [size for size in sizes if size.split(",")[0] == str(T)]


def test_no_array_of_all_steps_is_copied_for_a_sum_of_products():
    """Of an mLSTM: n is stored for each step, and the derivative by f is n dn added up.

    Its rows are large enough not to be stored side by side with others.
    """
    T, B, H = 9, 64, 64
    cell, xs = mlstm(H), jnp.ones((B, T, 3), jnp.float32)
    params = jax.eval_shape(cell.init, jax.random.key(0), xs[0, 0])
    step = lambda params: lambda carry, x: cell.step(params, carry, x)
    one = lambda params, xs: scan(step(params), cell.initial_carry(params), xs)[1]
    loss = lambda params, xs: jax.vmap(one, (None, 0))(params, xs).sum()
    program = jax.jit(jax.grad(loss)).lower(params, xs)
    program = program.compile(compiler_options=as_outside_of_tests())
    found = [line for lines, _ in bodies(program.as_text()).values() for line in lines]
    assert found and not [x for x in found if re.search(rf"= f32\[{T},.*\S* copy\(", x)]


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_rows_that_are_stored_part_by_part(name, reverse):
    # other tests have small rows, which are joined and stored at once
    T, B, H = 4, 20, 64
    cell, gates = CELLS[name]
    keys = jax.random.split(jax.random.key(0), 4)
    w = tuple(
        0.3 * jax.random.normal(key, s.shape, s.dtype)
        for key, s in zip(keys, weights(gates, H), strict=False)
    )
    xs = jax.random.randint(keys[3], (T, B), 0, V)
    run = lambda loop: lambda *args: loop(*args, reverse=reverse)
    got, expected = (
        jax.jit(gradient(run(loop), cell, hidden=H))(w, xs) for loop in (scan, lax.scan)
    )
    for a, b in zip(got, expected, strict=True):
        assert jnp.abs(a - b).max() < 1e-5 * jnp.abs(b).max()


@pytest.mark.slow
@pytest.mark.parametrize("name, arrays", [("tanh", 3.5), ("gru", 8.5), ("lstm", 9.5)])
def test_no_array_of_all_steps_is_there_before_its_time(name, arrays):
    """Memory in arrays of all steps of h.

    tanh    h, the cotangents of h and of the gate; h before each step, as the first two
            go
    gru     three gates or the cotangents of x, the product of h in the new gate or its
            cotangent, h before each step; behind the loop the cotangents of x once
            more, as for lstm; then those of h take their place
    lstm    four gates or their cotangents, c, h and its cotangent; behind the loop the
            cotangents twice, as the rows of x are added up in another order

    No room for cotangents beside the gates that were saved, for those of x before what
    the loop reads is complete, or for h before each step beside all of that.
    """
    T, B, H = 50, 20, 32
    bytes_of_h = 4 * T * B * H
    program = compiled(scan, name, T, B, H, **as_outside_of_tests())
    assert program.memory_analysis().temp_size_in_bytes < arrays * bytes_of_h


def test_what_an_array_is_made_of_by_parts_is_not_read_where_it_is_made():
    """A forward pass of a GRU: where a row is read for each number, t is loaded too,
    and nothing is vectorised."""
    T, B, H = 50, 20, 32
    step, start = gru(*(jnp.ones(s.shape, s.dtype) for s in weights(3, H)))
    xs, options = jax.ShapeDtypeStruct((T, B), jnp.int32), as_outside_of_tests()

    def texts(run):
        f = jax.vmap(lambda xs: run(step, start(jnp.zeros(H, jnp.float32)), xs), 1)
        program = jax.jit(f).lower(xs).compile(compiler_options=options)
        found = computations(program.as_text()).values()
        return [text for lines in found if " tanh(" in (text := "\n".join(lines))]

    reads = lambda text: " dynamic-slice(" in text
    made_by = texts(scan)
    assert made_by and not any(map(reads, made_by))


def forward_gru(run, length=7, **options):
    """A forward pass over rows that CPUs read a step ahead, and tokens for it."""
    *keys, last = jax.random.split(jax.random.key(0), 4)
    shapes = zip(keys, weights(3), strict=True)
    w = [jax.random.normal(key, s.shape, s.dtype) for key, s in shapes]
    step, start = gru(*w)
    one = lambda xs: run(step, start(jnp.zeros(H, jnp.float32)), xs, **options)
    return jax.jit(jax.vmap(one)), jax.random.randint(last, (B, length), 0, V)


@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_rows_that_are_read_ahead_are_those_of_their_step(reverse, unroll):
    f, xs = forward_gru(scan, reverse=reverse, unroll=unroll)
    plain, _ = forward_gru(lax.scan, reverse=reverse)
    for got, expected in zip(f(xs), plain(xs), strict=True):
        assert jnp.abs(got - expected).max() < 1e-5


def test_rows_are_read_ahead_on_cpus_only():
    f, xs = forward_gru(scan)
    row = rf"stablehlo.while.*\) : .*tensor<{B}x2xi32>"  # that of a token: two integers

    def is_carried(platform):
        program = f.trace(xs).lower(lowering_platforms=(platform,))
        return bool(re.search(row, program.as_text()))

    assert [is_carried(p) for p in ("cpu", "cuda", "tpu")] == [True, False, False]


def test_logits_that_a_loss_took_batch_first_come_back_once():
    """Memory in arrays of logits: those, their exponentials, what goes back of them.

    Under `vmap` Optax's loss transposes the logits. Their cotangents go to products, as
    rows, and to a sum: transposed for each of them, they would be there twice.
    """
    T, B, H, V = 50, 20, 32, 65
    step, h = CELLS["tanh"][0], jnp.zeros(H, jnp.float32)

    def loss(w, readout, xs, labels):  # (T,), (T,)
        cell, start = step(*w)
        head = lambda h: h @ readout[0] + readout[1]
        with_head = lambda h, x: (lambda c, y: (c, head(y)))(*cell(h, x))
        _, logits = scan(with_head, start(h), xs)
        with jax.numpy_rank_promotion("allow"):
            found = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return found.mean()

    many = jax.vmap(loss, (None, None, 0, 0))
    f = jax.jit(jax.grad(lambda *args: many(*args).mean(), (0, 1)))
    shapes = (V, H), (H, H), (H,), (H, V), (V,)
    w_x, w_h, b, *readout = (jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)
    xs = jax.ShapeDtypeStruct((B, T), jnp.int32)
    program = f.lower((w_x, w_h, b), readout, xs, xs).compile()
    bytes_of_logits = 4 * T * B * V
    assert program.memory_analysis().temp_size_in_bytes < 3.2 * bytes_of_logits


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_of_a_weight_is_made_as_the_weight_lies(name):
    """JAX writes (dz^T h)^T: XLA makes that h^T dz, where the smaller is transposed."""
    T, B, H = 50, 20, 32
    hlo, gates = compiled(scan, name, T, B, H).as_text(), CELLS[name][1]
    products = re.findall(r"f32\[([\d,]+)\]\S* dot\(.*lhs_contracting_dims=\{0\}", hlo)
    assert products == [f"{H},{gates * H}"]


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_slices_are_as_good_as_a_split(name, monkeypatch):
    programs = [compiled(scan, name)]
    in_slices = lambda z, n: [z[i * H : (i + 1) * H] for i in range(n)]
    monkeypatch.setattr(sys.modules[__name__], "parts", in_slices)
    programs.append(compiled(scan, name))
    split, sliced = (re.sub(r", metadata=\{.*?\}", "", p.as_text()) for p in programs)
    body = lambda text: text[text.index("ENTRY") :]
    assert body(sliced) == body(split)


def test_report():
    step, start = lstm(*(jnp.ones(s.shape, s.dtype) for s in weights(4)))

    def with_readout(c, x):
        c, h = step(c, x)
        return c, h @ jnp.ones((H, V), h.dtype)

    report = scan_report(with_readout, start(jnp.zeros(H, jnp.float32)), jnp.arange(T))
    product = f"dot_general float32[{4 * H}]"
    assert [product in report.step[k] for k in ("before", "loop")] == [False, True]
    assert report.step["after"] == [f"dot_general float32[{V}]"]
    assert [report.derivative[k].count(product) for k in ("before", "loop")] == [1, 1]
    # four gates in one array; the cell state, of which tanh is computed again
    assert report.saved[0] == (f"float32[4,{H}]", 4 * T * H * 4)
    assert {size for _, size in report.saved[1:]} == {T * H * 4}
    again = [x for place in report.derivative.values() for x in place]
    assert [x for x in again if x.startswith(("tanh", "logistic"))] == [
        f"tanh float32[{H}]"
    ]
    assert "saved for the derivative" in str(report) and product in str(report)


def vectors(step):
    """The report of a step of vectors of H numbers."""
    ones = jnp.ones((T, H), jnp.float32)
    return scan_report(step, ones[0], ones)


def test_what_is_known_early_is_added_up_ahead_of_the_loop():
    """One array crosses into it, though the author adds h @ w in between."""
    w = jnp.ones((H, H), jnp.float32)
    report = vectors(lambda h, x: (jnp.tanh((x @ w + h @ w) + jnp.sin(x) @ w), h))
    sums = [report.step[k].count(f"add float32[{H}]") for k in ("before", "loop")]
    assert sums == [1, 1]


def test_tangents_known_early_are_added_up_ahead_of_the_loop():
    """Of dx + (h da + a dh) + db only a dh waits for the loop."""
    a, b = jnp.ones((2, H), jnp.float32)
    places = vectors(lambda h, x: (x + h * a + b, h)).derivative
    adds = lambda place: sum(name.startswith("add") for name in places[place])
    assert (adds("before"), adds("loop")) == (2, 1)


def test_a_next_carry_that_is_stored_is_not_computed_again():
    """dh' = h dx + db + x dh and d(h'^2) = 2 h' dh', with h and h' both stored."""
    b = jnp.ones(H, jnp.float32)

    def step(h, x):
        h = h * x + b
        return h, h * h

    before = vectors(step).derivative["before"]
    assert before == [f"mul float32[{H}]", f"add float32[{H}]"]


def test_an_array_at_hand_is_changed_to_a_join_of_its_own_shape_only():
    def f(x, b):
        first, _, last = jnp.split(x, 3)
        return [jnp.concatenate([first, b]), jnp.concatenate([first, b, last])]

    x, b = jnp.arange(12.0), -jnp.arange(1.0, 5.0)
    got = evaluate_in_place(jax.make_jaxpr(f)(x, b), [x, b], (), ())
    assert [y.tolist() for y in got] == [y.tolist() for y in f(x, b)]


def memory(c, x):
    """A matrix of memory C, read by a query: C_t = f C_{t-1} + v k^T."""
    q, k, v, f = x
    read = jnp.einsum("vk,k->v", c, q)
    return f * c + jnp.einsum("v,k->vk", v, k), read


def by_multiplication(c, x):
    """The same with the outer product as a product of broadcast vectors."""
    q, k, v, f = x
    return f * c + v[:, None] * k[None], jnp.einsum("vk,k->v", c, q)


def window(c, x):
    """The last keys, weighted by how they fit a query."""
    q, k, v, f = x
    c = jnp.concatenate([c[1:], f * k[None]])
    return c, jnp.einsum("nk,k->n", c, q) + v[0]


READERS = {
    "memory": (memory, (H, H)),
    "by_multiplication": (by_multiplication, (H, H)),
    "window": (window, (V, H)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_large_state_is_not_stored_to_be_read_behind_the_loop(name):
    """Nor, in the derivative, what is added to it: outer products stay in the loop.

    Of the state itself the derivative stores one array of all steps, as lax.scan does.
    """
    step, shape = READERS[name]

    def arrays(run, transform):
        def outputs(q, k, v, f):
            ys = jax.vmap(lambda *x: run(step, jnp.zeros(shape, q.dtype), x)[1])
            return jnp.sum(ys(q, k, v, f) ** 2)

        x = jax.ShapeDtypeStruct((B, T, H), jnp.float32)
        f = jax.ShapeDtypeStruct((B, T), jnp.float32)
        text = jax.jit(transform(outputs)).lower(x, x, x, f).as_text()
        stored = f"tensor<{T}x{B}x{'x'.join(map(str, shape))}xf32>"
        loops = [x for x in text.splitlines() if "stablehlo.while" in x]
        return [line.count(stored) for line in loops]

    by_all = lambda f: jax.grad(f, (0, 1, 2, 3))
    assert not any(arrays(scan, lambda f: f))
    assert sum(arrays(scan, by_all)) <= sum(arrays(lax.scan, by_all))


def test_a_large_state_is_read_where_it_is_at_hand():
    """Of d(C q) = dC q + C dq both terms; and k and v are taken from a sum beforehand.

    The sum would be added up again for every number of v k^T.
    """
    b = jnp.ones(3 * H, jnp.float32)

    def step(carry, x):
        c, f = carry
        q, k, v = jnp.split(x + b, 3)
        c, y = memory(c, (q, k, v, f))
        return (c, jnp.sin(f * x[0])), y

    xs = jnp.ones((T, 3 * H), jnp.float32)
    report = scan_report(step, (jnp.ones((H, H), jnp.float32), xs[0, 0]), xs)
    read = f"dot_general float32[{H}]"
    assert [report.derivative[k].count(read) for k in ("before", "loop")] == [0, 2]
    assert report.step["loop"].count(read) == 1 and not report.step["after"]
    of_sums = {f"add float32[{3 * H}]", f"split float32[{H}]"}
    assert of_sums <= set(report.step["before"])
    assert not of_sums & {*report.step["loop"], *report.derivative["loop"]}


def test_a_conditional_stays_in_the_loop():
    """For many steps at once both branches would run for each."""
    report = vectors(lambda h, x: (h + lax.cond(x[0] > 0, jnp.sin, jnp.cos, x), h))
    assert f"cond float32[{H}]" in report.step["loop"]


def test_report_of_a_step_with_side_effects():
    def step(c, x):
        jax.debug.print("{}", x)
        return c, x

    assert "all in jax.lax.scan" in str(scan_report(step, 0.0, jnp.arange(T)))


@pytest.mark.parametrize("by_vmap", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_readout_with_a_bias_stays_out_of_both_loops(name, by_vmap):
    cell, gates = CELLS[name]
    head = (jnp.full((H, V), 0.1, jnp.float32), jnp.full(V, 0.2, jnp.float32))

    def one(w, head, h, xs):
        step, start = cell(*w)

        def with_head(carry, x):
            carry, h = step(carry, x)
            return carry, h @ head[0] + head[1]

        return jnp.sum(scan(with_head, start(h), xs)[1] ** 2)

    def loss(w, head, xs):
        if by_vmap:
            h = jnp.zeros(H, jnp.float32)
            return jax.vmap(lambda xs: one(w, head, h, xs), 1)(xs).sum()
        return one(w, head, jnp.zeros((B, H), jnp.float32), xs)

    xs = jax.ShapeDtypeStruct((T, B), jnp.int32)
    with jax.numpy_rank_promotion("allow"):
        hlo = jax.jit(jax.grad(loss, (0, 1))).lower(weights(gates), head, xs)
    assert dots_in_loops(hlo.compile().as_text()) == 2


@pytest.mark.parametrize("name", CELLS)
def test_only_tokens_cross_into_the_loop(name):
    """The rows that one-hot tokens stand for are looked up where they are used."""
    cell, gates = CELLS[name]
    w_x, w_h, b = (jnp.ones(s.shape, s.dtype) for s in weights(gates))
    _, start = cell(w_x, w_h, b)

    def step(carry, token):
        row = jax.nn.one_hot(token, V, dtype=jnp.float32) @ w_x
        own, _ = cell(row[None], w_h, b)
        return own(carry, 0)

    report = scan_report(step, start(jnp.zeros(H, jnp.float32)), jnp.arange(T))
    assert f"gather float32[{gates * H}]" in report.step["loop"]
    assert not report.step["before"]
    assert f"dot_general float32[{gates * H}]" in report.step["loop"]


@pytest.mark.slow
@pytest.mark.parametrize("by_vmap", [False, True])
def test_one_hot_products_look_rows_up_and_their_derivative_adds_rows(by_vmap):
    """Values and derivatives equal those of the product, and neither multiplies."""
    w = jnp.arange(V * 3.0, dtype=jnp.float32).reshape(V, 3)
    tokens = jnp.asarray([[0, V - 1, 3], [V, -1, 2]], jnp.int32)  # some are not there

    def step(w):
        return lambda c, k: (c + 1, jax.nn.one_hot(k, V, dtype=jnp.float32) @ w)

    def run(loop, w):
        if by_vmap:
            return jax.vmap(lambda k: loop(step(w), 0, k)[1], 1)(tokens)
        return loop(step(w), 0, tokens)[1]

    loss = lambda loop: lambda w: jnp.sum(jnp.sin(run(loop, w)))
    assert (run(scan, w) == run(lax.scan, w)).all()
    expected = jax.grad(loss(lax.scan))(w)
    assert jnp.allclose(jax.grad(loss(scan))(w), expected, rtol=1e-6)
    forward = jax.jit(lambda w: run(scan, w)).lower(w).as_text()
    backward = jax.jit(jax.grad(loss(scan))).lower(w).as_text()
    assert "gather" in forward and "dot_general" not in forward
    assert "scatter" in backward and "dot_general" not in backward
