"""The compiled functions of a network: every number that goes in or comes out is finite, whatever the network."""

import json

import numpy as np
import pytest
from PIL import Image

from nsfw_command.main import main
from nsfw_experiments.inverse import inverse
from nsfw_experiments.inverse.stability import fragility
from nsfw_model import ModelFileError
from nsfw_model.functions import Functions
from nsfw_model.scorer import Scorer
from nsfw_model.weights import load_weights, save_weights
from theano.configparser import change_flags
from theano_compat import TheanoEnvironmentError
from theano_cpu import onednn
from open_nsfw import get_scorer, model_files, nsfw_score, nsfw_scores, prepare

BAD = [np.nan, np.inf, -np.inf]
ROCKET = "img/rocket.jpg"


@pytest.fixture(scope="module")
def x():
    """Two prepared pictures."""
    return np.stack([prepare("img/coffee.jpg"), prepare(ROCKET)])


@pytest.mark.skipif(not onednn.onednn_available(), reason="BLAS adds up one row in another order than several")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_score_does_not_depend_on_the_others_of_its_batch(precision, x):
    if precision == "bfloat16" and not onednn.has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    scorer = get_scorer(precision=precision)
    [coffee], [rocket] = scorer.scores(x[:1]), scorer.scores(x[1:])
    for count in range(1, 5):
        assert scorer.scores(np.concatenate([x] * count)).tolist() == [coffee, rocket] * count


@pytest.mark.parametrize("engine", ["onednn", "theano"])
@pytest.mark.parametrize("method", ["scores", "logits", "logits_and_gradients"])
def test_one_value_that_is_not_finite_is_refused_by_its_place(method, engine, x, monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", engine)
    for bad in BAD:
        damaged = x.copy()
        damaged[1, 2, 100, 7] = bad
        with pytest.raises(ValueError, match=rf"network input: got {bad} at \[1, 2, 100, 7\] \(1 of 301056 values"):
            getattr(get_scorer(), method)(damaged)


def test_a_number_too_large_for_float32_is_refused():
    with pytest.raises(ValueError, match="network input: got inf"):
        get_scorer().scores(np.full((1, 3, 224, 224), 1e39))


@pytest.mark.parametrize("value", [complex(0, np.nan), 1j, np.datetime64("NaT"), np.timedelta64("NaT"), "5", None])
@pytest.mark.parametrize("method", ["scores", "logits", "logits_and_gradients"])
def test_what_is_no_real_number_is_refused_by_its_type(method, value):
    x = np.full((1, 3, 224, 224), value)
    with pytest.raises(ValueError, match=f"network input: got values of type {x.dtype}, expected real numbers"):
        getattr(get_scorer(), method)(x)


def test_what_is_masked_is_not_seen(x):
    masked = np.ma.masked_array(x)
    np.testing.assert_array_equal(get_scorer().scores(masked), get_scorer().scores(x))
    masked[1, 2, 100, :7] = np.ma.masked
    with pytest.raises(ValueError, match="network input: got 7 masked values, expected none"):
        get_scorer().scores(masked)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float64, ">f4"])
def test_real_numbers_of_any_type_are_scored(dtype):
    ones = np.ones((1, 3, 224, 224))
    expected = get_scorer().scores(ones.astype(np.float32))
    assert get_scorer().scores(ones.astype(dtype)) == get_scorer().scores(ones.astype(dtype).tolist()) == expected


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """Weights, each of which is a finite number, that make the last layer overflow."""
    layers = load_weights(model_files()[0])
    name, blobs = layers[-1]
    layers[-1] = (name, [np.full_like(blob, 3e38) for blob in blobs])
    path = tmp_path_factory.mktemp("overflowing") / "nsfw.pkl"
    save_weights(path, layers)
    return path


@pytest.mark.parametrize("method", ["scores", "logits", "logits_and_gradients"])
def test_a_network_that_overflows_gives_an_error_and_no_number(method, x, overflowing):
    scorer = get_scorer(overflowing)
    with pytest.raises(ModelFileError, match=r"nsfw.pkl: the network gives (nan|inf|-inf) at .* too large"):
        getattr(scorer, method)(x)


@pytest.fixture(scope="module")
def overflowing_at_first(tmp_path_factory):
    """Weights that make the first layer overflow, whose ReLU makes 0 of what is no number."""
    layers = load_weights(model_files()[0])
    name, (filters, *others) = layers[0]
    filters = np.where(np.arange(filters.size).reshape(filters.shape) % 2, np.float32(3e38), np.float32(-3e38))
    path = tmp_path_factory.mktemp("overflowing") / "first.pkl"
    save_weights(path, [(name, [filters, *others]), *layers[1:]])
    return path


@pytest.mark.parametrize("method", ["scores", "logits_and_gradients"])
def test_an_overflow_that_leaves_no_trace_in_the_output_is_an_error_that_names_the_layer(
    method, x, overflowing_at_first
):
    scorer = get_scorer(overflowing_at_first)
    if onednn.engine() == "onednn":
        with pytest.raises(ModelFileError, match=r"first.pkl: layer 'conv_1' gives (nan|inf|-inf) at .* too large"):
            getattr(scorer, method)(np.full_like(x, 50))


def test_no_picture_overflows_the_network():
    x = np.stack([prepare(ROCKET), np.full((3, 224, 224), 255, np.float32)])
    onednn.overflowed()
    get_scorer().scores(x)
    get_scorer().logits_and_gradients(x)
    assert not onednn.overflowed()


def test_the_front_door_gives_no_number_of_it_either(overflowing):
    with pytest.raises(ModelFileError, match="the network gives"):
        nsfw_score(ROCKET, overflowing)
    with pytest.raises(ModelFileError, match="the network gives"):
        list(nsfw_scores([ROCKET], nsfw_pkl_path=overflowing, on_error="return"))


@pytest.mark.parametrize("layout", ["--json", "--csv", None])
def test_the_command_writes_no_row_of_it(layout, overflowing, capsys):
    assert main(["score", ROCKET, "--nsfw-pkl", str(overflowing), *filter(None, [layout])]) == 2
    captured = capsys.readouterr()
    assert "nan" not in captured.out.lower() and "ROCKET" not in captured.out
    assert captured.err.startswith("open-nsfw: error: ") and captured.err.count("\n") == 1


PROTOTXT = """
input: "data" input_shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: {classes} kernel_size: 3 stride: 8 }} }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "prob" type: "Softmax" bottom: "pool" top: "prob" }}
"""


def save_fully_convolutional(folder, size, classes=2):
    """Save a network whose output is of shape (n, classes, 1, 1), as SqueezeNet's is."""
    random = np.random.default_rng(0)
    filters = random.normal(0, 0.002, (classes, 3, 3, 3)).astype("float32")
    save_weights(folder / "nsfw.pkl", [("conv", [filters, np.zeros(classes, "float32")])])
    (folder / "deploy.prototxt").write_text(PROTOTXT.format(size=size, classes=classes))
    return folder / "nsfw.pkl", folder / "deploy.prototxt"


def score_by_hand(picture, files, size):
    """Yahoo's classify_nsfw.py: crop to the network's input, take the second class of the flattened output."""
    ((_, (filters, _)),) = load_weights(files[0])
    compressed = np.moveaxis(prepare(picture, (256, 256)), 0, 2)
    offset = (256 - size) // 2
    cropped = compressed[offset : offset + size, offset : offset + size]
    corners = range(0, size - 2, 8)
    patches = [cropped[row : row + 3, column : column + 3] for row in corners for column in corners]
    # Caffe's convolution is a correlation; its pooling is over whole windows only, all of which are here
    classes = np.mean([[(patch * np.moveaxis(one, 0, 2)).sum() for one in filters] for patch in patches], axis=0)
    return 1 / (1 + np.exp(classes[0] - classes[1]))


@pytest.mark.parametrize("size", [227, 224, 64, 256])
def test_a_fully_convolutional_network_scores_the_centre_that_it_takes(size, tmp_path):
    files = save_fully_convolutional(tmp_path, size)
    assert Scorer(*files).input_size == (size, size)
    expected = score_by_hand(ROCKET, files, size)
    assert 0.05 < expected < 0.95
    assert nsfw_score(ROCKET, *files) == pytest.approx(expected, abs=1e-5)
    assert list(nsfw_scores([ROCKET] * 2, 8, *files)) == pytest.approx([expected] * 2, abs=1e-5)


def test_the_experiments_work_on_such_a_network(tmp_path):
    files = save_fully_convolutional(tmp_path, 227)
    scorer = Scorer(*files)
    start = nsfw_score(ROCKET, *files)
    picture, record = inverse(ROCKET, start + 0.01, iterations=20, tolerance=0.005, scorer=scorer)
    assert record.reached and nsfw_score(picture, *files) == pytest.approx(record.final_score, abs=1e-6)
    assert fragility(ROCKET, scorer=scorer).score == pytest.approx(start, abs=1e-6)


def test_its_logits_and_gradients_have_the_shapes_of_the_others(tmp_path):
    scorer = Scorer(*save_fully_convolutional(tmp_path, 64))
    x = np.stack([prepare(ROCKET, (64, 64))] * 3)
    logits, gradients = scorer.logits_and_gradients(x)
    assert logits.shape == (3,) and gradients.shape == (3, 3, 64, 64)
    step = 1e-2 * gradients / np.linalg.norm(gradients[0])
    slope = (scorer.logits(x + step) - scorer.logits(x - step)) / 2
    np.testing.assert_allclose(slope, 1e-2 * np.linalg.norm(gradients[0]), rtol=1e-2)


RESIDUAL = PROTOTXT.replace(
    'layer {{ name: "pool" type: "Pooling" bottom: "conv"',
    """layer {{ name: "branch" type: "Convolution" bottom: "conv" top: "branch"
  convolution_param {{ num_output: 2 kernel_size: 1 }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "conv" bottom: "branch" top: "sum" }}
layer {{ name: "pool" type: "Pooling" bottom: "sum\"""",
)


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    """A scorer that averages a convolution and a branch of it, all linear, and the branch's filters."""
    folder = tmp_path_factory.mktemp("residual")
    save_fully_convolutional(folder, 64)
    branch = np.array([[0.5, -2], [3, 0.25]], np.float32).reshape(2, 2, 1, 1)
    blobs = [*load_weights(folder / "nsfw.pkl"), ("branch", [branch, np.array([1, -1], np.float32)])]
    save_weights(folder / "nsfw.pkl", blobs)
    (folder / "deploy.prototxt").write_text(RESIDUAL.format(size=64, classes=2))
    return Scorer(folder / "nsfw.pkl", folder / "deploy.prototxt"), branch.reshape(2, 2)


@pytest.fixture(scope="module")
def small_x():
    return np.stack([prepare(picture, (64, 64)) for picture in (ROCKET, "img/coffee.jpg")])


def test_the_values_of_a_layer_are_what_the_layers_after_it_read(residual, small_x):
    scorer, filters = residual
    logits, values = scorer.logits_and_values(small_x, "conv")
    np.testing.assert_allclose(logits, scorer.logits(small_x), atol=1e-5)
    summed = values + np.einsum("oi,nihw->nohw", filters, values) + np.array([1, -1]).reshape(2, 1, 1)
    np.testing.assert_allclose(scorer.logits_and_values(small_x, "sum")[1], summed, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits, (summed[:, 1] - summed[:, 0]).mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize("name, along", [("branch", [-1, 1]), ("conv", [-1 + 2.5, 1 + 2.25]), ("sum", [-1, 1])])
def test_the_gradients_of_a_layer_go_along_all_ways_from_it_and_no_others(name, along, residual, small_x):
    # By hand: the logit is a mean over 8x8 places of differences of two channels; [2.5, 2.25] comes by the branch
    logits, values, gradients = residual[0].logits_and_layer_gradients(small_x, name)
    np.testing.assert_allclose(logits, residual[0].logits(small_x), atol=1e-5)
    np.testing.assert_array_equal(values, residual[0].logits_and_values(small_x, name)[1])
    expected = np.broadcast_to(np.reshape(along, (2, 1, 1)) / 64, values.shape)
    np.testing.assert_allclose(gradients, expected, rtol=1e-6)


def test_the_gradients_of_the_network_input_are_those_of_the_layer_data(x):
    logits, values, gradients = get_scorer().logits_and_layer_gradients(x, "data")
    np.testing.assert_array_equal(values, x)
    np.testing.assert_allclose(gradients, get_scorer().logits_and_gradients(x)[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["logits_and_values", "logits_and_layer_gradients"])
def test_a_layer_that_is_not_there_is_refused_with_those_of_similar_names(method, x):
    with pytest.raises(ValueError, match="^layer: got 'conv1', expected one of the network's 229, such as 'conv_1'"):
        getattr(get_scorer(), method)(x, "conv1")


def test_a_layer_without_influence_on_the_logits_has_no_gradients(residual, small_x):
    with pytest.raises(ValueError, match="^layer: got 'prob', expected one on which the logits depend"):
        residual[0].logits_and_layer_gradients(small_x, "prob")


@pytest.mark.parametrize("method", ["logits_and_values", "logits_and_layer_gradients"])
def test_the_values_of_a_layer_are_finite_or_an_error(method, x, overflowing):
    with pytest.raises(ModelFileError, match=r"nsfw.pkl: the network gives (nan|inf|-inf)"):
        getattr(get_scorer(overflowing), method)(x, "fc_nsfw")


@pytest.mark.parametrize(
    "setting, value", [("floatX", "float64"), ("floatX", "float16"), ("compute_test_value", "raise")]
)
def test_a_setting_of_theanos_with_which_nothing_can_be_scored_is_named(setting, value):
    with change_flags(**{setting: value}):
        with pytest.raises(TheanoEnvironmentError, match=f"Theano's setting {setting} is '{value}', but a network"):
            Functions(*model_files(), "float32")


@pytest.mark.parametrize(
    "size, classes, message",
    [(224, 3, r"last layer: got SoftmaxLayer of shape \(None, 3, 1, 1\)"), (257, 2, r"input: got \(3, 257, 257\)")],
)
def test_what_is_no_classifier_of_two_classes_and_a_picture_is_refused(size, classes, message, tmp_path):
    with pytest.raises(ModelFileError, match=message):
        Scorer(*save_fully_convolutional(tmp_path, size, classes))


@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_of_other_pictures_than_rgb_is_refused(channels, tmp_path):
    weights, architecture = save_fully_convolutional(tmp_path, 64)
    filters = np.ones((2, channels, 3, 3), "float32")
    save_weights(weights, [("conv", [filters, np.zeros(2, "float32")])])
    text = architecture.read_text()
    assert "dim: 3 " in text
    architecture.write_text(text.replace("dim: 3 ", f"dim: {channels} "))
    with pytest.raises(ModelFileError, match=rf"input: got \({channels}, 64, 64\), expected one picture"):
        Scorer(weights, architecture)


def test_a_network_of_its_own_size_is_scored_by_the_command(tmp_path, capsys):
    weights, architecture = save_fully_convolutional(tmp_path, 227)
    picture = tmp_path / "white.png"
    Image.new("RGB", (300, 200), "white").save(picture)
    assert main(["score", str(picture), "--nsfw-pkl", str(weights), "--prototxt", str(architecture), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["score"] == pytest.approx(nsfw_score(picture, weights, architecture), abs=1e-9)
