"""What each method finds obeys the rule that it states, on any network; what is odd is refused in a sentence."""

from math import inf

import numpy as np
import pytest
from explained import network_inputs

from nsfw_experiments.explanation import METHODS, explain, gradient
from nsfw_experiments.explanation.activation import NoLinearEndError, _averages_everything
from nsfw_experiments.explanation.attribution import BATCH, blurred, check_above_zero
from nsfw_experiments.explanation.methods import parameters_of
from nsfw_experiments.explanation.occlusion import places
from nsfw_experiments.explanation.path_integral import PathIntegral
from nsfw_model.scorer import Scorer
from nsfw_model.weights import load_weights, save_weights
from open_nsfw import PictureError, get_scorer, model_files, nsfw_score, prepare

COFFEE = "img/coffee.jpg"
#: Parameters by which a method is quick.
QUICK = {
    "occlusion": {"patch": 112},
    "integrated-gradients": {"steps": 2, "tolerance": inf},
    "smooth-grad": {"samples": 1},
}


@pytest.fixture(scope="module")
def x():
    return network_inputs()[0]


# --- sum rules


@pytest.mark.parametrize("picture", [COFFEE, "img/retina.jpg", "img/evolved_circles.png"])
def test_the_class_activation_map_and_the_bias_are_the_logit(picture):
    # The bias is the weights' own: Yahoo's fc_nsfw, of the second class less the first
    safe, unsafe = dict(load_weights(model_files()[0]))["fc_nsfw"][1]
    explanation = explain(picture)
    assert explanation.baseline_logit == pytest.approx(unsafe - safe, abs=1e-6)
    assert explanation.cells.mean() + unsafe - safe == pytest.approx(explanation.logit, abs=1e-5)


def test_grad_cam_of_the_features_is_the_class_activation_map(x):
    cam, grad_cam = (METHODS[name](get_scorer(), x) for name in ("class-activation-map", "grad-cam"))
    np.testing.assert_allclose(grad_cam.cells, cam.cells, rtol=1e-4, atol=1e-4)
    assert grad_cam.baseline_logit == cam.baseline_logit
    assert METHODS["grad-cam"](get_scorer(), x, layer="relu_stage2_block1").baseline_logit is None


@pytest.mark.slow
@pytest.mark.parametrize("picture", [COFFEE, "img/astronaut.png", "img/evolved_circles.png"])
def test_integrated_gradients_sum_up_to_what_the_logit_has_more_than_that_of_the_blurred_picture(picture):
    x = prepare(picture)
    start, end = get_scorer().logits(np.stack([blurred(x, 12), x]))
    cells, logit, baseline_logit = METHODS["integrated-gradients"](get_scorer(), x)
    assert (logit, baseline_logit) == pytest.approx((end, start), abs=1e-5)
    assert cells.mean() == pytest.approx(end - start, rel=0.0101)


def test_the_mean_of_the_input_gradient_is_what_a_brighter_picture_changes(x):
    step = 0.25
    darker, brighter = get_scorer().logits(np.stack([x - step, x + step]))
    mean = float(METHODS["input-gradient"](get_scorer(), x).cells.mean())
    assert mean == pytest.approx((brighter - darker) / (2 * step), rel=0.15)


def test_grad_cam_weighs_channels_by_their_summed_gradients(x):
    _, values, gradients = get_scorer().logits_and_layer_gradients(x[None], "relu_stage2_block5")
    found = METHODS["grad-cam"](get_scorer(), x, layer="relu_stage2_block5")
    expected = sum(gradient.sum() * value for gradient, value in zip(gradients[0], values[0]))
    np.testing.assert_allclose(found.cells, expected, rtol=1e-3, atol=1e-4)


def test_grad_cam_takes_the_last_layer_that_has_places(x):
    found = METHODS["grad-cam"](get_scorer(), x)
    last = METHODS["grad-cam"](get_scorer(), x, layer="relu_stage3_block2")
    np.testing.assert_array_equal(found.cells, last.cells)


def test_smooth_grad_of_little_noise_is_the_input_gradient(x):
    quiet = METHODS["smooth-grad"](get_scorer(), x, samples=2, noise=1e-6).cells
    plain = METHODS["input-gradient"](get_scorer(), x).cells
    assert np.corrcoef(quiet.ravel(), plain.ravel())[0, 1] > 0.99


def test_smooth_grad_draws_its_noise_from_the_seed(x):
    def of(seed):
        return METHODS["smooth-grad"](get_scorer(), x, samples=1, seed=seed).cells

    np.testing.assert_array_equal(of(1), of(1))
    assert np.corrcoef(of(1).ravel(), of(2).ravel())[0, 1] < 0.9


def test_occlusion_is_the_fall_of_the_logit_where_a_patch_is_blurred(x):
    hidden = x.copy()
    hidden[:, 112:, :112] = blurred(x, 12)[:, 112:, :112]
    before, after = get_scorer().logits(np.stack([x, hidden]))
    cells = METHODS["occlusion"](get_scorer(), x, patch=112).cells
    np.testing.assert_allclose(cells[112:, :112], before - after, atol=1e-5)


def test_patches_cover_the_whole_and_are_cut_off_at_the_border():
    # Where windows begin and end is Captum's: as many as ceil((side - patch) / stride) + 1
    counts = np.zeros((224, 224))
    for place in places((224, 224), 60, 50):
        counts[place] += 1
    assert counts.min() == 1 and len(places((224, 224), 60, 50)) == 5 * 5
    assert places((224, 224), 60, 50)[-1] == (slice(200, 224), slice(200, 224))


# --- the path integral


class Steep:
    """A scorer whose logit is a cube of the mean, times 1000: steep at the end, where even steps miss the most."""

    input_size = 4, 4

    def logits(self, x):
        return 1000 * x.mean((1, 2, 3), dtype=np.float64) ** 3

    def logits_and_gradients(self, x):
        slopes = 3000 * x.mean((1, 2, 3), dtype=np.float64) ** 2 / x[0].size
        return self.logits(x), np.broadcast_to(slopes[:, None, None, None], x.shape).astype(np.float32)


def test_halving_the_worst_parts_closes_the_gap():
    integral = PathIntegral(Steep(), np.zeros((3, 4, 4), np.float32), np.ones((3, 4, 4), np.float32), steps=2)
    gaps = [abs(integral.gap())]
    for _ in range(4):
        integral.refine(1)
        gaps.append(abs(integral.gap()))
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.15 * gaps[0]
    assert integral.evaluations == 2 + 4 * 2
    assert integral.attributions().sum() - 1000 == pytest.approx(integral.gap(), abs=1e-3)


def test_steps_are_added_until_the_sum_rule_holds(x):
    ones = np.random.default_rng(0).normal(1, 0.3, (3, 16, 16)).astype(np.float32)

    def missed(tolerance):
        cells, logit, baseline_logit = METHODS["integrated-gradients"](Edges(), ones, 1, tolerance=tolerance)
        return abs(cells.mean() - (logit - baseline_logit)) / abs(logit - baseline_logit)

    assert missed(0.001) <= 0.001 < missed(inf)


class Edges(Steep):
    """A scorer of what a blur takes away: the cube of the mean square."""

    def logits(self, x):
        return (x.astype(np.float64) ** 2).mean((1, 2, 3)) ** 3

    def logits_and_gradients(self, x):
        slopes = 6 * (x.astype(np.float64) ** 2).mean((1, 2, 3)) ** 2 / x[0].size
        return self.logits(x), (slopes[:, None, None, None] * x).astype(np.float32)


@pytest.mark.parametrize("sign", [1, -1])
def test_steps_are_added_where_a_logit_falls_as_where_it_rises(sign, x):
    class Signed(Edges):
        def logits(self, x):
            return sign * super().logits(x)

        def logits_and_gradients(self, x):
            logits, gradients = Edges().logits_and_gradients(x)
            return sign * logits, sign * gradients

    ones = np.random.default_rng(0).normal(1, 0.3, (3, 16, 16)).astype(np.float32)
    cells, logit, baseline_logit = METHODS["integrated-gradients"](Signed(), ones, 1, tolerance=0.001)
    assert abs(cells.mean() - (logit - baseline_logit)) <= 0.001 * abs(logit - baseline_logit)
    assert np.sign(logit) == sign


def test_no_more_gradients_are_computed_than_are_allowed(monkeypatch):
    monkeypatch.setattr(gradient, "MOST_EVALUATIONS", 20)
    ones = np.random.default_rng(0).normal(1, 0.3, (3, 16, 16)).astype(np.float32)
    computed = []

    class Counted(Edges):
        def logits_and_gradients(self, x):
            computed.append(len(x))
            return super().logits_and_gradients(x)

    METHODS["integrated-gradients"](Counted(), ones, 3, tolerance=1e-12)
    # 3 parts, all of which are halved: 6 new ones; then 6, then 8 of the 12 at once
    assert sum(computed) == 3 + 6 + 12
    assert max(computed) <= BATCH


def test_of_parts_those_that_miss_the_most_are_halved():
    integral = PathIntegral(Steep(), np.zeros((3, 4, 4), np.float32), np.ones((3, 4, 4), np.float32), steps=2)
    integral.refine(1)
    # The parts are from 0 to 1/4 and from there to 1, where the cube is steep
    assert integral._edges.tolist() == [0, 0.25, 0.625, 1]
    assert sorted(integral._gradients) == [0.125, 0.4375, 0.8125]


# --- a blur, and numbers


def test_a_blur_has_its_standard_deviation_in_both_directions_and_mixes_no_colours():
    x = np.zeros((3, 41, 61), np.float32)
    x[1, 20, 30] = 1
    found = blurred(x, 2.5)
    assert found[0].max() == found[2].max() == 0 and found.sum() == pytest.approx(1)
    for axis, middle in (0, 20), (1, 30):
        profile = found[1].sum(1 - axis)
        assert (profile * (np.arange(len(profile)) - middle) ** 2).sum() == pytest.approx(2.5**2, rel=0.01)


def test_behind_the_border_a_blur_sees_the_border():
    x = np.zeros((3, 9, 9), np.float32)
    x[:, 0] = 1
    weights = np.exp(-0.5 * np.arange(-40, 41) ** 2)
    # All rows above the first are like it
    assert blurred(x, 1)[0, 0, 4] == pytest.approx(weights[:41].sum() / weights.sum(), abs=1e-3)


@pytest.mark.parametrize(
    "number, most", [(1e-9, 1), (1, 1), (np.float32(0.5), 1), (np.int64(7), 7), (inf, inf), (1e300, inf)]
)
def test_numbers_above_zero_are_taken_up_to_the_largest(number, most):
    check_above_zero("blur", number, most)


@pytest.mark.parametrize(
    "number, most", [(0, 1), (-0.0, 1), (1.0000001, 1), (inf, 1e308), (np.nan, inf), ("1", 2), (1j, 2)]
)
def test_other_numbers_are_refused(number, most):
    with pytest.raises(ValueError, match="^blur: got .*, expected a number above 0 "):
        check_above_zero("blur", number, most)


def test_the_largest_parameters_are_taken():
    x = np.random.default_rng(0).normal(1, 0.3, (3, 8, 12)).astype(np.float32)
    falls = METHODS["occlusion"](Edges(), x, patch=8, stride=8, blur=1024.0).cells
    hidden = x.copy()
    hidden[:, :, :8] = blurred(x, 1024.0)[:, :, :8]
    before, after = Edges().logits(np.stack([x, hidden]))
    np.testing.assert_allclose(falls[:, :8], before - after, rtol=1e-4)
    with pytest.raises(ValueError, match="^patch: got 9, expected .* at most 8"):
        METHODS["occlusion"](Edges(), x, patch=9)
    assert METHODS["smooth-grad"](Edges(), x, samples=1, noise=1024).cells.shape == (8, 12)
    assert METHODS["integrated-gradients"](Edges(), x, steps=512, tolerance=inf).cells.shape == (8, 12)


def test_the_mean_of_noises_is_given():
    one, other = np.random.default_rng(0).standard_normal((2, 3, 4, 4), np.float32) * np.float32(0.5) + np.ones(
        (3, 4, 4), np.float32
    )
    gradients = Edges().logits_and_gradients(np.stack([one, other]))[1]
    cells, logit, baseline_logit = METHODS["smooth-grad"](Edges(), np.ones((3, 4, 4), np.float32), 2, 0.5, 0)
    np.testing.assert_allclose(cells, gradients.mean(0).sum(0) * 16, rtol=1e-5)
    assert logit == pytest.approx(1) and baseline_logit is None


# --- other networks

ENDS = {
    "averaged features": """layer { name: "pool" type: "Pooling" bottom: "relu" top: "pool"
  pooling_param { pool: AVE kernel_size: 8 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" }
layer { name: "fc" type: "InnerProduct" bottom: "drop" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
    "averaged classes": """layer { name: "pool" type: "Pooling" bottom: "relu" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }""",
    "features without a bias": """layer { name: "pool" type: "Pooling" bottom: "relu" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
    "features averaged in parts": """layer { name: "pool" type: "Pooling" bottom: "relu" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
    "features averaged with padding": """layer { name: "pool" type: "Pooling" bottom: "relu" top: "pool"
  pooling_param { pool: AVE kernel_size: 8 pad: 1 stride: 8 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
    "largest features": """layer { name: "pool" type: "Pooling" bottom: "relu" top: "pool"
  pooling_param { pool: MAX kernel_size: 8 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
    "flattened features": """layer { name: "fc" type: "InnerProduct" bottom: "relu" top: "fc"
  inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""",
}
#: Places whose values an InnerProduct is given, where they are not one.
PLACES = {"flattened features": 8 * 8, "features averaged in parts": 2 * 2, "features averaged with padding": 2 * 2}
FEATURES = """input: "data" input_shape { dim: 1 dim: 3 dim: 64 dim: 64 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 8 stride: 8 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Makes a scorer of a small network of random weights that ends in a certain way."""

    def scorer(end):
        folder = tmp_path_factory.mktemp("foreign")
        rng = np.random.default_rng(0)
        blobs = [("conv", [rng.normal(0, 0.01, (2, 3, 8, 8)), np.array([0.5, 0.1])])]
        if "InnerProduct" in ENDS[end]:
            places = PLACES.get(end, 1)
            weights = np.tile([[1, -1], [0.5, 2]], places) / places
            blobs.append(("fc", [weights] if "bias_term: false" in ENDS[end] else [weights, np.array([0.25, -0.5])]))
        save_weights(folder / "a.pkl", [(name, [np.float32(blob) for blob in some]) for name, some in blobs])
        (folder / "a.prototxt").write_text(FEATURES + ENDS[end])
        return Scorer(folder / "a.pkl", folder / "a.prototxt")

    return scorer


@pytest.mark.parametrize(
    "end, bias", [("averaged features", -0.75), ("averaged classes", 0), ("features without a bias", 0)]
)
def test_another_network_with_a_linear_end_has_a_class_activation_map(end, bias, foreign):
    scorer = foreign(end)
    explanation = explain(COFFEE, scorer=scorer)
    assert explanation.cells.shape == (8, 8) and explanation.cells.std() > 0
    assert explanation.baseline_logit == bias
    logit = scorer.logits(prepare(COFFEE, (64, 64))[None])[0]
    assert explanation.mean + bias == pytest.approx(logit, abs=1e-5) == explanation.logit


@pytest.mark.parametrize(
    "end, met",
    [
        ("largest features", "PoolingLayer 'pool'"),
        ("flattened features", r"\w+ 'relu'"),
        ("features averaged in parts", "PoolingLayer 'pool'"),
        ("features averaged with padding", "PoolingLayer 'pool'"),
    ],
)
def test_a_network_without_a_linear_end_has_none_and_the_methods_that_work_are_named(end, met, foreign):
    with pytest.raises(NoLinearEndError, match=f"{met} where a class.*: occlusion, integrated.*-gradient$"):
        explain(COFFEE, scorer=foreign(end))


@pytest.mark.parametrize(
    ("pooling", "ends"),
    [
        ("pool: AVE kernel_size: 8", True),
        ("pool: AVE global_pooling: true", True),
        ("pool: MAX kernel_size: 8", False),
        ("pool: AVE kernel_h: 8 kernel_w: 7", False),
        ("pool: AVE kernel_size: 8 pad: 1 stride: 8", False),
    ],
)
def test_a_linear_end_averages_all_places_each_once(pooling, ends, foreign, monkeypatch):
    monkeypatch.setitem(
        ENDS,
        "this one",
        f"""layer {{ name: "pool" type: "Pooling" bottom: "relu" top: "pool" pooling_param {{ {pooling} }} }}
layer {{ name: "last" type: "Pooling" bottom: "pool" top: "last" pooling_param {{ pool: MAX global_pooling: true }} }}
layer {{ name: "prob" type: "Softmax" bottom: "last" top: "prob" }}""",
    )
    layer = foreign("this one").net["pool"]
    assert _averages_everything(layer) == ends


@pytest.mark.parametrize("end", ["largest features", "flattened features"])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "class-activation-map"])
def test_all_other_methods_work_on_it(method, end, foreign):
    scorer = foreign(end)
    quick = {**QUICK, "occlusion": {}}
    explanation = explain(COFFEE, method, scorer=scorer, **quick.get(method, {}))
    assert explanation.map.shape == (400, 600) and np.abs(explanation.cells).max() > 0
    assert explanation.logit == pytest.approx(scorer.logits(prepare(COFFEE, (64, 64))[None])[0], abs=1e-5)
    assert method == "integrated-gradients" or explanation.baseline_logit is None


def test_what_is_no_scorer_is_refused(foreign):
    with pytest.raises(ValueError, match="^scorer: got SoftmaxLayer, expected a Scorer"):
        explain(COFFEE, scorer=foreign("averaged features").output)


# --- explain


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_the_score_that_the_front_door_gives(method):
    explanation = explain(COFFEE, method, **QUICK.get(method, {}))
    assert explanation.method == method
    assert explanation.score == pytest.approx(nsfw_score(COFFEE), abs=1e-6)
    assert explanation.cells.dtype == explanation.map.dtype == np.float32


@pytest.mark.parametrize(
    "method, parameters, message",
    [
        ("saliency", {}, "^method: got 'saliency', expected one of class-activation-map, occlusion, .*input-gradient$"),
        (
            "occlusion",
            {"steps": 3},
            "got parameter 'steps', expected one of patch.*; it is one of integrated-gradients",
        ),
        ("input-gradient", {"size": 3}, "^input-gradient: got parameter 'size', expected none$"),
        (None, {}, "^method: got None, expected one of"),
        (["occlusion"], {}, r"^method: got \['occlusion'\], expected one of"),
        ("occlusion", {"patch": 0}, "^occlusion: patch: got 0, expected a whole number"),
        ("occlusion", {"patch": float("nan")}, "^occlusion: patch: got nan, expected a whole number"),
        ("occlusion", {"patch": 225}, "^occlusion: patch: got 225, expected .* at most 224"),
        ("occlusion", {"stride": 33}, "^occlusion: stride: got 33, expected .* at most 32"),
        ("occlusion", {"stride": 0}, "^occlusion: stride: got 0, expected .* at least 1"),
        ("occlusion", {"blur": -1}, "^occlusion: blur: got -1, expected a number above 0"),
        ("occlusion", {"blur": True}, "^occlusion: blur: got True, expected a number above 0"),
        ("occlusion", {"blur": 1e9}, "^occlusion: blur: got 1000000000.0, expected .* at most 1024"),
        ("occlusion", {"blur": 0}, "^occlusion: blur: got 0, expected a number above 0"),
        ("integrated-gradients", {"blur": inf}, "blur: got inf"),
        ("integrated-gradients", {"steps": 0}, "steps: got 0"),
        ("integrated-gradients", {"steps": 513}, "steps: got 513, expected .* at most 512"),
        ("integrated-gradients", {"tolerance": None}, "tolerance: got None, expected a number above 0 or infinity"),
        ("integrated-gradients", {"tolerance": "1 %"}, "tolerance: got '1 %', expected a number above 0 or infinity"),
        ("integrated-gradients", {"tolerance": float("nan")}, "tolerance: got nan, expected a number above 0"),
        ("smooth-grad", {"samples": 0.5}, "samples: got 0.5"),
        ("smooth-grad", {"noise": "loud"}, "noise: got 'loud', expected a number above 0"),
        ("smooth-grad", {"noise": float("nan")}, "noise: got nan, expected a number above 0"),
        ("smooth-grad", {"noise": 1e39}, "noise: got 1e.39, expected .* at most 1024"),
        ("smooth-grad", {"seed": -1}, "seed: got -1"),
        ("grad-cam", {"layer": 3}, "^grad-cam: layer: got 3, expected the name"),
        ("grad-cam", {"layer": ["conv_1"]}, r"^grad-cam: layer: got \['conv_1'\], expected the name"),
        ("grad-cam", {"layer": "prob"}, r"^grad-cam: layer: got 'prob' of shape \(None, 2\), expected one with"),
        ("grad-cam", {"layer": "conv1"}, "^grad-cam: layer: got 'conv1', expected one of the network's 229.*'conv_1'"),
        (
            "grad-cam",
            {"layer": "pool"},
            r"^grad-cam: layer: got 'pool' of shape \(None, 1024, 1, 1\), expected one with",
        ),
    ],
)
def test_what_is_odd_is_refused_in_a_sentence_that_says_what_is_expected(method, parameters, message):
    with pytest.raises(ValueError, match=message):
        explain(COFFEE, method, **parameters)


def test_a_picture_that_cannot_be_read_is_a_picture_error():
    with pytest.raises(PictureError, match="^none.jpg: no such file"):
        explain("none.jpg")


def test_the_parameters_of_methods_have_defaults():
    for name in METHODS:
        assert "scorer" not in parameters_of(name) and "x" not in parameters_of(name)
