"""What print, summary and notebooks show of a model."""

import html
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import numlstm
from helpers.variants import KEYWORDS
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling


def model_of(*sizes, **options):
    return numlstm.LSTM(*sizes, rng=0, backend="reference", **options)


class Texts(HTMLParser):
    """The tags and texts of a page, which must be closed in order."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.tags, self.open = [], set(), []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_print_shows_the_summary_and_repr_one_line():
    model = model_of(3, 8, 2)
    assert str(model) == model.summary()
    assert "\n" not in repr(model)


@pytest.mark.parametrize("name", KEYWORDS)
def test_every_parameter_is_listed_and_counted(name):
    model = model_of(2, 4, 2, **(KEYWORDS[name] | {"num_layers": 2}))
    lines = model.summary().split("\n")
    counted = 0
    for parameter, values in model.params.items():
        (line,) = (line for line in lines if f" {parameter} " in line)
        assert str(values.shape) in line
        counted += int(line.split()[-1])
    assert f"total {counted}" in " ".join(model.summary().split())
    assert counted == model.theta.size
    variant = model.spec.in_words(without=("input_size", "hidden_size", "output_size"))
    (line,) = (line for line in lines if line.startswith("Variant"))
    for word in re.findall(r"peephole|layer_norm|proj_size=\d|zoneout_h=[\d.]+", variant):
        assert word in line


def test_many_layers_are_counted_on_one_line():
    model = model_of(3, 2, 1, num_layers=10_000, bidirectional=True)
    text = model.summary()
    assert len(text) < 3000
    first = sum(v.size for k, v in model.params.items() if re.search("_l[01](_|$)|head", k))
    assert re.search(rf"^layers 2-9999 +as layer 1 +{model.theta.size - first}$", text, re.M)
    assert text.index("layers 2-9999") < text.index("head_weight")
    assert len(model._repr_html_()) < 10_000


def test_a_third_layer_has_a_line_also_without_a_head():
    text = model_of(3, 2, num_layers=3).summary()
    assert re.search(r"^layer 2 +as layer 1 +40\ntotal +128$", text, re.M)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "Prediction  1 output at every step"),
        ({"output": "last"}, "Prediction  1 output after the last step"),
        ({"forecasts": True}, "Prediction  the next value of its first feature, at every step"),
    ],
)
def test_what_is_predicted(options, words):
    model = model_of(2, 3, 1)
    vars(model).update(options)
    assert words in re.sub("  +", "  ", model.summary())


def test_a_fit_is_described_in_the_units_of_its_data():
    t = np.arange(60.0)
    frame = pd.DataFrame({"rain <mm>": np.sin(t), "flow\n": 5 + np.cos(t)})
    options = {"hidden_size": 2, "epochs": 1, "rng": 0, "backend": "reference"}
    model = numlstm.fit(frame, **options).model
    text = re.sub("  +", "  ", model.summary())
    assert r"the next value of rain <mm>, 'flow\n', at every step" in text
    assert (
        f"input  rain <mm>  {model.scaling.x_mean[0]:.4g}  {model.scaling.x_scale[0]:.4g}" in text
    )
    assert f"'flow\\n'  {model.scaling.y_mean[1]:.4g}  {model.scaling.y_scale[1]:.4g}" in text
    assert "as they were drawn" not in text
    page = model._repr_html_()
    assert "rain <mm>" not in page
    assert html.escape("rain <mm>") in page


def test_classes_have_no_unit_and_missing_inputs_a_rule():
    model = model_of(4, 2, 3)
    model.scaling = Scaling(np.zeros(2), np.ones(2))
    model.filling = Imputer(np.zeros(2))
    text = model.summary()
    assert "outputs have no unit" in text
    assert "the last observed value" in text
    assert "target" not in text


def test_long_lists_of_features_are_cut():
    model = model_of(30, 2, 1)
    model.scaling = Scaling(np.zeros(30), np.ones(30), np.zeros(1), np.ones(1))
    assert re.search(r"feature 9 .*\n +20 more\ntarget ", model.summary())
    assert "feature 29" in model.summary(max_rows=30)
    assert "more" not in model.summary(max_rows=30)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_rows"):
            model.summary(max_rows=wrong)
    with pytest.raises(TypeError, match="max_rows"):
        model.summary(max_rows="all")


def test_a_page_says_what_the_summary_says():
    model = model_of(2, 5, 1, num_layers=2, cell={"peephole": True})
    model.scaling = Scaling(np.zeros(2), np.ones(2), np.zeros(1), np.ones(1))
    page = Texts(model._repr_html_())
    words = " ".join(" ".join(page.texts).split())
    assert words == " ".join(model.summary().split())
    assert "style" not in page.tags  # nothing that reaches beyond the table


def test_showing_a_model_changes_nothing():
    model = model_of(2, 3, 1, num_layers=3)
    before = model.theta.copy()
    assert model.summary() == model.summary()
    model._repr_html_()
    np.testing.assert_array_equal(model.theta, before)
