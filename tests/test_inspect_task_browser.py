"""The page of examples of `jrnn inspect` in a browser, and by the keyboard alone."""

import numpy as np
import pytest
from chromium import MARKS, chromium
from test_inspect_task import HOSTILE, hostile_page

from jrnn.inspect import (
    Channels,
    Classes,
    Effect,
    Forecasts,
    RecordedExamples,
    RecordedLayer,
    Shown,
    Tokens,
    record_task,
    write_task_page,
)

pytestmark = MARKS
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def made_up(lengths, units=6, gates="rz"):
    """States that nothing has made."""
    n = int(np.sum(lengths))
    draw = lambda: RNG.uniform(-1, 1, (n, units)).astype(np.float16)
    parts = {"h": draw(), **{name: abs(draw()) for name in gates}}
    layer = RecordedLayer("gru", units, parts, tuple(gates))
    return RecordedExamples([layer], np.asarray(lengths))


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    """Sequences of three classes; the answers to examples 1 and 4 are wrong."""
    seen = made_up([5, 8, 3, 12, 7])
    p = np.full((5, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0, 1]]
    target = np.array([0, 2, 2, 0, 0])
    answers = Classes(["red", "green", "blue"], p, target, "sequence")
    inputs = Channels(["a", "b"], RNG.normal(size=(35, 2)))
    shown = Shown(inputs, seen.lengths, answers, list("vwxyz"))
    effect = Effect(RNG.normal(size=6), np.ones(6), RNG.normal(size=6))
    path = tmp_path_factory.mktemp("classified") / "page.html"
    write_task_page(
        path, seen, shown, title="a & b", effects=[effect], figure="accuracy"
    )
    return path, seen, shown, effect


TEXT = "document.getElementById('%s').textContent"


def test_values_are_those_that_were_recorded(browser, classified):
    path, seen, shown, effect = classified
    browser.open(path)
    assert browser.run("document.title") == "a & b"
    h = seen.layers[0].parts["h"].astype(float)
    browser.run("look('0-h'); choose(4); show(3)")
    values = browser.run("[0, 5, 11].map((s) => valueAt(starts[3] + s))")
    np.testing.assert_allclose(values, h[[16, 21, 27], 4], atol=0.01)
    read = browser.run("[0, 5, 11].map(channelValue(1))")
    np.testing.assert_allclose(read, shown.inputs.values[[16, 21, 27], 1], atol=1e-3)
    browser.painted()
    told = browser.run(TEXT % "effect")
    assert f"{abs(effect.nats[4]):.4f}" in told
    assert f"{abs(100 * effect.figure[4]):.1f} points" in told
    assert browser.complaints() == []


def test_examples_are_chosen_by_whether_they_are_right(browser, classified):
    browser.open(classified[0])
    options = "Array.from(document.getElementById('example').options, (o) => o.text)"
    right = ["v: red", "w: blue, answered green", "x: blue", "y: red"]
    assert browser.run(options) == [*right, "z: red, answered green"]
    browser.run("filterBy('wrong')")
    assert browser.run("state.listed") == [1, 4] and browser.run("state.example") == 1
    browser.painted()
    assert "wrong" == browser.run("document.querySelector('.verdict').classList[1]")
    assert "blue" in browser.run(TEXT % "about-example")
    browser.press("j")
    assert browser.run("state.example") == 4
    browser.press("j", "k")
    assert browser.run("state.example") == 1
    browser.run("filterBy('class 2')")
    assert browser.run("state.listed") == [1, 2]
    browser.run("filterBy('right')")
    assert browser.run("state.listed") == [0, 2, 3]
    assert browser.complaints() == []


def test_all_of_it_by_the_keyboard(browser, classified):
    browser.open(classified[0])
    focus = "document.activeElement.id"
    browser.run("document.activeElement.blur()")
    reached = []
    for _ in range(30):
        browser.press("Tab")
        if browser.run(focus) in reached:
            break
        reached.append(browser.run(focus))
    wanted = "by unit previous next centred example example-previous example-next "
    wanted += "filter help plots feature ranking"
    assert [n for n in reached if n and n != "lanes"] == wanted.split()
    browser.run("document.getElementById('ranking').focus()")
    browser.press("t")
    browser.run("show(3)")
    assert browser.run(focus) == "plots"
    at = "here()"
    browser.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert browser.run(at) == 1
    browser.press("End")
    assert browser.run(at) == 11
    browser.press("+", "+")
    assert browser.run("state.span") < 12 and browser.run("lastSeen(12)") == 11
    browser.press("Home")
    assert browser.run(at) == 0 and browser.run("state.from") == 0
    browser.press("0")
    assert browser.run("state.span") == 12
    order = browser.run("state.ranking")
    browser.press("n")
    assert browser.run("state.unit") == order[1]
    browser.press("m")
    assert browser.run("state.centred") is False
    browser.press("?")
    assert browser.run("document.getElementById('keys').open") is True
    browser.press("Escape")
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_are_shown_and_not_run(browser, tmp_path, width):
    path = tmp_path / "page.html"
    task, params, data, shown = hostile_page(path)
    browser.open(path, width=width, scheme="dark" if width < 400 else "light")
    title = "In </title><script>alert(1)</script>"
    assert browser.run("document.title") == title
    assert browser.run("names")[0] == browser.run("channels")[0] == HOSTILE[0]
    assert browser.run("classes")[1] == "שלום ⟨202E⟩over⟨202C⟩"
    assert browser.run("channels")[2].startswith("nul:⟨NUL⟩ \"'`${x} {{script}}")
    listed = browser.run(TEXT % "guesses")
    assert HOSTILE[0] in listed and "⟨202E⟩" in listed
    h = record_task(task, params, data).layers[0].parts["h"]
    browser.run("look('0-h'); choose(5)")
    np.testing.assert_allclose(browser.run("valueAt(26)"), h[26, 5], atol=1e-2)
    # the planted unit is on top for its channel
    browser.run("document.getElementById('feature').value = '1'")
    event = "document.getElementById('feature').dispatchEvent(new Event('change'))"
    browser.run(event)
    assert browser.run("state.ranking[0]") == 5
    browser.press("l")
    assert browser.run("state.view.id") == "loss"
    cost = -np.log(shown.answers.probability[2, shown.answers.target[2]])
    np.testing.assert_allclose(browser.run("valueAt(2)"), cost, atol=1e-3)
    assert browser.run("document.images.length") == 0
    assert browser.run("document.querySelectorAll('script:not([type])').length") == 1
    assert browser.run("document.body.scrollWidth <= innerWidth")
    assert browser.complaints() == []


def test_a_forecast_and_what_came(browser, tmp_path):
    seen = made_up([6, 4])
    values = np.sort(RNG.normal(size=(2, 3, 1, 3)), axis=-1)
    truth = values[..., 1].copy()
    truth[1, 2, 0] = values[1, 2, 0, 2] + 1
    truth[0, 1, 0] = np.nan
    answers = Forecasts([1], [0.1, 0.5, 0.9], values, truth)
    inputs = Channels(["a", "b"], RNG.normal(size=(10, 2)))
    path = tmp_path / "page.html"
    write_task_page(path, seen, Shown(inputs, seen.lengths, answers, "uv"), title="a")
    browser.open(path)
    assert browser.run("stepsOf(1)") == 7 and browser.run("lanes.order") == [1, 0]
    assert browser.run("[isRight(0), isRight(1)]") == [True, False]
    found = browser.run("[0, 1, 2].map((q) => forecast(1, 2, 0, q))")
    np.testing.assert_allclose(found, values[1, 2, 0], rtol=1e-5)
    browser.run("show(0); moveTo(7)")
    assert "missing" in browser.run(TEXT % "here")
    browser.press("t", "End")
    assert browser.run("here()") == 8
    assert browser.complaints() == []


@pytest.mark.parametrize("each", ["sequence", "step"])
def test_a_text_is_coloured_by_its_states(browser, tmp_path, each):
    pieces = ["a", "\n", "\x00", "\u202e", "日本", "é"]
    tokens = RNG.integers(0, 6, 400)
    seen = made_up([300, 100])
    count = 2 if each == "sequence" else 400
    p = RNG.dirichlet([1, 1], count)
    answers = Classes(["N", HOSTILE[0]], p, RNG.integers(0, 2, count), each)
    shown = Shown(Tokens(pieces, tokens, "char"), seen.lengths, answers, "ab")
    path = tmp_path / "page.html"
    write_task_page(path, seen, shown, title="a")
    browser.open(path, width=390)
    browser.run("show(1)")
    browser.painted()
    code = "Array.from({length: 100}, (_, s) => about.pieces[pieceAt(s)])"
    assert browser.run(code) == [pieces[t] for t in tokens[300:]]
    browser.run("look('0-h'); choose(2); moveTo(3)")
    browser.painted()
    place = "PAD + grid.places[0] * grid.cell + 1, PAD + 1, 1, 1"
    canvas = "document.getElementById('channels').getContext('2d')"
    seen_ = browser.run(f"Array.from({canvas}.getImageData({place}).data).slice(0, 3)")
    wanted = browser.run(
        "state.scale.palette[values().bytes[300]].match(/\\d+/g).map(Number)"
    )
    np.testing.assert_allclose(seen_, wanted, atol=2)
    browser.press("t", "ArrowDown")
    assert browser.run("here()") > 3
    assert browser.complaints() == []


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A sequence of 20,000 steps and 2,000 short ones, of 64 units and 30 channels."""
    lengths = np.append(20_000, np.full(2000, 20))
    seen = made_up(lengths, units=64)
    n = int(lengths.sum())
    inputs = Channels([f"c{d}" for d in range(30)], RNG.normal(size=(n, 30)))
    p = RNG.dirichlet([1, 1, 1], n).astype(np.float32)
    answers = Classes(["x", "y", "z"], p, RNG.integers(0, 3, n), "step")
    shown = Shown(inputs, lengths, answers, [str(i) for i in range(len(lengths))])
    path = tmp_path_factory.mktemp("large") / "page.html"
    write_task_page(path, seen, shown, title="large")
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_long_sequences_and_many_examples_stay_fluid(browser, large, width):
    """The best of some tries: other programs may be using the machine."""
    opened = []
    for _ in range(2):
        browser.open(large, width=width)
        opened.append(browser.run("performance.now()"))
    assert min(opened) < 2000, opened
    timed = """(async () => {
      const times = [];
      for (let i = 0; i < 6; i++) {
        const start = performance.now();
        %s;
        drawPlots();
        times.push(performance.now() - start);
        await new Promise((r) => requestAnimationFrame(() => setTimeout(r, 30)));
      }
      return Math.min(...times);
    })()"""
    drawn = browser.run("lanes.tops.filter((y) => y < 0).length")
    assert drawn == 0
    zoomed = "seen(0, 20000)", "seen(5000, 900)"
    for code in zoomed:
        browser.run(code)
        assert browser.run(timed % "seen(state.from + 50, state.span)") < 50
        assert browser.run(timed % "neighbour(1)") < 50
        assert browser.run(timed % "moveTo(here() + 7)") < 50
        assert (
            browser.run(timed % "document.getElementById('lanes').scrollTop += 40") < 50
        )
    assert browser.run(timed % "nextExample(1)") < 50
    assert browser.complaints() == []
