"""Experiments of the course texts: their data, and what their results say."""

import dataclasses
import importlib
import importlib.util
import json

import jax
import numpy as np
import pytest
from settings import ordinary

from experiments._results import FOLDER

pytestmark = pytest.mark.slow


def module(name):
    return importlib.import_module(f"experiments.{name}")


def committed(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["metrics"]


@pytest.fixture
def plain():
    """The settings that a user has."""
    with ordinary():
        yield


def test_a_package_that_is_missing_is_named(monkeypatch):
    find = importlib.util.find_spec
    gone = lambda name, *rest: None if name == "sklearn" else find(name, *rest)
    monkeypatch.setattr(importlib.util, "find_spec", gone)
    with pytest.raises(SystemExit, match=r"needs sklearn: pip install -e"):
        module("digits").main(module("digits").SMOKE)


# Recurrence from outputs


def test_outputs_change_where_inputs_say_so(plain):
    experiment = module("output_recurrence")
    x, y = experiment.draw(experiment.Config(), jax.random.key(3), 500)
    assert experiment.obeys(x, y).all()
    assert not experiment.obeys(x, y.at[:, 4].set(1 - y[:, 4])).any()
    # a coin, and inputs that are coins: every sequence is as likely as any other
    np.testing.assert_allclose(y.mean(0), 0.5, atol=0.1)


def test_only_recurrence_from_outputs_gets_below_the_bound():
    m = committed("output_recurrence")
    with_r, without = (m["held_out_nats"][n] for n in ("with R", "without R"))
    bound = m["least_possible_nats"]
    assert bound == {"without R": 5.5452, "with R": 0.69315}  # 8 log 2, log 2
    assert without["least"] > bound["without R"] - 0.01
    assert bound["with R"] - 0.01 < with_r["least"] <= with_r["most"] < 0.75
    obeyed = m["share_of_written_that_obey"]
    assert obeyed["with R"]["least"] > 0.98 and obeyed["without R"]["most"] < 0.03


# Digits and their names


def test_names_are_letters_and_an_end():
    captioning = module("captioning")
    assert captioning.LETTERS == "efghinorstuvwxz"
    assert [captioning.text(row) for row in captioning.TOKENS] == captioning.NAMES
    assert captioning.VALID.sum(axis=1).tolist() == [5, 4, 4, 6, 5, 5, 4, 6, 6, 5]


def test_no_image_is_in_training_and_test():
    pytest.importorskip("sklearn")
    (x, y), (x_test, y_test) = module("digits").load()
    assert len(x) + len(x_test) == 1797 and len(x_test) == 450
    assert np.bincount(y_test).min() >= 40
    assert not {a.tobytes() for a in x} & {a.tobytes() for a in x_test}
    assert x.min() == 0 and x.max() == 1 and len(y) == len(x)


def test_most_digits_are_known_from_the_last_step():
    m = committed("digits")
    for name in ("tanh", "GRU"):
        assert m["accuracy"][name]["least"] >= 0.93
    assert m["accuracy"]["tanh"]["mean"] > m["baseline_linear_all_pixels"]["mean"]
    assert m["baseline_most_frequent_digit"] < 0.11 and m["seeds"] == 3


def test_most_names_are_written_without_a_mistake():
    m = committed("captioning")
    assert m["exactly_right"]["least"] >= 0.90
    assert m["baseline_most_frequent_name"] < 0.11


# Languages


def test_nothing_is_named_in_training_and_test():
    pytest.importorskip("babel")
    languages = module("languages")
    train, test = languages.names()
    assert len(train) > 4000 and len(test) > 1000
    for part in (train, test):
        assert {label for label, _ in part} == set(languages.LANGUAGES)
        assert len({text for _, text in part}) == len(part)
    assert not {text for _, text in train} & {text for _, text in test}
    # one country, in four languages that each write it in their own way
    names = ("Deutschland", "Duitsland", "Niemcy", "Németország")
    where = {name: name in {text for _, text in train} for name in names}
    assert len(set(where.values())) == 1


def test_sixteen_languages_are_told_apart_better_than_by_letters():
    m = committed("languages")
    assert m["labels"] >= 12
    assert m["accuracy"]["least"] > m["baseline_counts_of_letters"] + 0.05


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["en house"], "line 1: no tab"),
        ([], "is empty"),
        ([f"en\tword {n}" for n in range(20)], "all lines have the label 'en'"),
        (["en\ta", "de\tb"] * 20, "2 different texts to learn from and ask about"),
    ],
)
def test_a_mistake_ends_the_command_with_a_plain_line(tmp_path, capsys, lines, message):
    pytest.importorskip("sklearn")
    languages = module("languages")
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(SystemExit) as end:
        languages.main(languages.Config(data=path))
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") <= 2 and not shown.out


def test_one_label_of_few_is_not_left_alone_for_training(tmp_path, capsys):
    pytest.importorskip("sklearn")
    languages = module("languages")
    path = tmp_path / "pairs.tsv"
    for odd in range(12):  # whichever text is the one for the test
        lines = [f"{'de' if n == odd else 'en'}\tword {n}" for n in range(12)]
        path.write_text("\n".join(lines), "utf-8")
        try:
            languages.users_table(languages.Config(data=path))
        except SystemExit:
            break
    err = capsys.readouterr().err
    assert "all lines left for training have the label 'en'" in err


def test_unseen_characters_and_labels_of_a_users_table(
    tmp_path, capsys, monkeypatch, plain
):
    pytest.importorskip("sklearn")
    languages = module("languages")
    # a letter of its own in every text, so that each test text has an unseen one
    lines = [f"{'ab'[n % 2]}\tx{chr(0x4E00 + n)}" for n in range(11)] + ["c\tyy"]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines), "utf-8")
    monkeypatch.setattr(languages, "save", lambda *_: pytest.fail("must not save"))
    languages.main(dataclasses.replace(languages.SMOKE, data=path, seeds=(0,)))
    assert "test_texts: 1" in capsys.readouterr().out
    texts = languages.encode([("c", "xé")], {"x": 1}, ["a", "b"])
    assert (texts.inputs[0].tolist(), texts.targets.tolist()) == ([1, -1], [-1])


# Models of the built-in text


def test_one_w_is_two_matrices_and_depth_is_compared_at_equal_size():
    m = committed("depth")
    assert m["largest_difference_between_the_two_forms"] < 1e-12
    sizes = list(m["parameters"].values())
    assert len(sizes) == 3 and max(sizes) < 1.03 * min(sizes)
    assert m["held_out_nats"]["2"]["most"] < m["held_out_nats"]["1"]["least"]


def test_the_form_with_one_w_is_checked(plain, monkeypatch):
    depth = module("depth")
    assert depth.difference_of_forms() < 1e-12
    wrong = depth.layer

    def forgetful(size):
        cell = wrong(size)
        return cell._replace(step=lambda w, h, x, **k: cell.step(w, 0.9 * h, x, **k))

    monkeypatch.setattr(depth, "layer", forgetful)
    assert depth.difference_of_forms() > 1e-3


def test_windows_overlap_by_half_and_are_all_of_the_text():
    rows = module("_characters").windows(np.arange(20), 6)
    assert rows.tolist() == [list(range(n, n + 7)) for n in (0, 3, 6, 9, 12)]


def test_counted_pairs_are_a_distribution(plain):
    window, characters = module("fixed_window"), module("_characters")
    tokens = np.random.default_rng(0).integers(0, 4, 60)
    p = []
    for last in range(5):  # token 4 is never seen in training
        data = characters.Characters(tokens, np.array([tokens[0], last]), 5)
        p.append(np.exp(-window.pairs_nats(data)))
    assert np.isclose(sum(p), 1) and min(p) > 0


def test_networks_have_equal_parameters_and_recurrent_ones_win():
    m = committed("fixed_window")
    sizes = m["parameters"].values()
    assert max(sizes) < 1.02 * min(sizes)
    best = min(x["mean"] for x in m["perplexity_by_window"].values())
    assert m["perplexity_recurrent"]["GRU"]["most"] < best
    assert best < m["perplexity_of_counted_pairs"]


def test_sentences_are_cut_out_of_prose():
    cut = module("sentences").sentences
    text = (
        "Title\n=====\n\nThe first one is here.  It isn't the\nlast (e.g. of two)!\n\n"
        "   >>> code = 1\n\nShort one.\n\nThe first one is here.\n\nA, b and "
        + "c " * 40
        + "d."
    )
    assert [" ".join(words) for words in cut(text, 14)] == [
        "the first one is here .",
        "it isn't the last ( e . g . of two ) !",
    ]


def test_losses_of_padding_do_not_count(plain):
    sentences = module("sentences")
    words = np.array([[2, 1, 3, 3], [0, 3, 3, 3]], np.int32)
    batch = sentences.Sentences(words, np.array([3, 2]))
    flat = sentences.jrnn.stack(
        sentences.jrnn.embed(4, 4, table_init=lambda *_: jax.numpy.eye(4))
    )
    params = flat.init(jax.random.key(0), jax.numpy.int32(0))
    # the logit of the word before is 1, others 0
    denominator = np.log(3 + np.e)
    hits = [(3, 2), (2, 1), (1, 3), (3, 0), (0, 3)]
    expected = np.mean([denominator - (a == b) for a, b in hits])
    got = sentences.loss(flat, params, batch, jax.random.key(1))
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(
        sentences.held_out(flat, params, batch), expected, rtol=1e-6
    )


def test_both_networks_know_more_than_pairs_of_words():
    m = committed("sentences")
    pairs = m["perplexity_of_counts"]["pairs of words"]
    assert m["perplexity"]["LSTM"]["most"] < pairs
    assert m["perplexity"]["tanh"]["most"] < m["perplexity_of_counts"]["single words"]
