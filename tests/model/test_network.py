"""Networks: what is built out of specs and weights, and its activations beside Caffe's importer."""

from pathlib import Path

import lasagne
import numpy as np
import pytest
import theano.tensor as T
import unoptimised
from generated_nets import layer, opencv_activations, relative_difference

from nsfw_model.network import build_net
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.weights import WeightsError, load_weights
from open_nsfw import prepare

DATA = layer("data", "Input", "", "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")
CONV = layer("conv", "Convolution", "data", "convolution_param { num_output: 4 kernel_size: 3 }")
FC = layer("fc", "InnerProduct", "conv", "inner_product_param { num_output: 2 }")

ROOT = Path(__file__).parents[2]


def ones(*shape):
    return np.ones(shape, "float32")


WEIGHTS = [("conv", [ones(4, 3, 3, 3), ones(4)]), ("fc", [ones(2, 144), ones(2)])]


@pytest.fixture(name="build")
def build_fixture(tmp_path):
    def build(text, weights, **options):
        (tmp_path / "net.prototxt").write_text(text)
        return build_net(read_prototxt(tmp_path / "net.prototxt"), weights, **options)

    return build


@pytest.fixture(scope="module")
def open_nsfw_specs():
    return read_prototxt(ROOT / "nsfw_model" / "deploy.prototxt")


@pytest.fixture(scope="module")
def astronaut():
    return prepare(ROOT / "img" / "astronaut.png")[np.newaxis]


def activations(specs, x, weights=None):
    output, net = build_net(specs, weights or load_weights(ROOT / "nsfw.pkl"))
    names = list(net)
    outputs = lasagne.layers.get_output([net[name] for name in names], deterministic=True)
    return dict(zip(names, unoptimised.function([net["data"].input_var], outputs)(x)))


class TestOpenNsfw:
    # OpenCV 4.14.0's Caffe importer on Yahoo's files, each layer by itself; scikit-image's astronaut, made
    # ready with Pillow 13.0.0: mean and largest absolute value of activations.
    PINNED = {
        "conv_1": (3.019494, 1928.092),
        "bn_1": (0.0241248, 9.963928),
        "relu_1": (0.2878879, 3.312503),
        "pool1": (0.4276664, 3.312503),
        "eltwise_stage0_block0": (0.07980528, 4.279307),
        "relu_stage1_block3": (0.2633019, 3.44075),
        "relu_stage3_block2": (0.4652626, 10.62737),
        "pool": (0.4652626, 3.267871),
        "fc_nsfw": (-0.07810849, 1.787685),
        "prob": (0.5, 0.9682977),
    }

    SCORE = 0.0317022

    def test_activations_are_those_of_opencvs_caffe_importer(self, open_nsfw_specs, astronaut, yahoo_files):
        ours, theirs = activations(open_nsfw_specs, astronaut), opencv_activations(*yahoo_files, astronaut)
        assert len(theirs) == 228
        for name, expected in theirs.items():
            assert relative_difference(ours[name], expected) < 1e-4, name
        for name, (mean, largest) in self.PINNED.items():
            assert ours[name].mean() == pytest.approx(mean, rel=1e-4)
            assert np.abs(ours[name]).max() == pytest.approx(largest, rel=1e-4)
        assert ours["prob"][0, 1] == pytest.approx(theirs["prob"][0, 1], abs=1e-6)
        assert ours["prob"][0, 1] == pytest.approx(self.SCORE, abs=1e-6)

    def test_without_epsilon_the_score_is_another(self, open_nsfw_specs, astronaut):
        # the known error of older ports of this model
        for spec in open_nsfw_specs:
            if spec.type == "BatchNorm":
                assert spec.settings["eps"] == pytest.approx(1e-5, rel=1e-6)
        changed = [
            type(spec)(spec.name, spec.type, spec.bottoms, spec.tops, {"eps": 1e-12})
            if spec.type == "BatchNorm"
            else spec
            for spec in open_nsfw_specs
        ]
        assert abs(activations(changed, astronaut)["prob"][0, 1] - self.SCORE) > 1e-4

    def test_shapes_are_known_before_anything_runs(self, open_nsfw_specs):
        output, net = build_net(open_nsfw_specs, load_weights(ROOT / "nsfw.pkl"))
        assert net["pool1"].output_shape == (None, 64, 56, 56)
        assert net["pool"].output_shape == (None, 1024, 1, 1)
        assert output is net["prob"] and output.output_shape == (None, 2)
        assert list(net) == [spec.name for spec in open_nsfw_specs]

    def test_parameters_are_shared_variables_of_which_all_but_statistics_are_trained(self, open_nsfw_specs):
        output, net = build_net(open_nsfw_specs, load_weights(ROOT / "nsfw.pkl"))
        params = lasagne.layers.get_all_params(output)
        assert sum(param.get_value().size for param in params) == 5_944_567
        trainable = lasagne.layers.get_all_params(output, trainable=True)
        assert len(params) == len(trainable) + 3 * 53 == 373
        assert net["conv_1"].W.name == "conv_1.W" and net["conv_1"].W in trainable


class TestBuilding:
    def test_in_place_layers_have_entries_of_their_own(self, build):
        text = DATA + CONV + layer("relu", "ReLU", "conv", top="conv") + FC
        output, net = build(text, WEIGHTS)
        assert list(net) == ["data", "conv", "relu", "fc"]
        assert output.input_layer is net["relu"] and net["relu"].input_layer is net["conv"]

    def test_uses_the_input_that_is_given(self, build):
        x = T.tensor4()
        assert build(DATA + CONV, WEIGHTS[:1], input_var=x)[1]["data"].input_var is x

    def test_takes_another_size_of_pictures(self, build):
        output, _ = build(DATA + CONV, WEIGHTS[:1], input_shape=(None, 3, 20, None))
        assert output.output_shape == (None, 4, 18, None)

    def test_runs_on_other_sizes_than_declared(self, build):
        output, net = build(DATA + CONV, WEIGHTS[:1])
        f = unoptimised.function([net["data"].input_var], lasagne.layers.get_output(output))
        assert f(ones(5, 3, 12, 9)).shape == (5, 4, 10, 7)

    def test_dropout_is_the_identity_where_deterministic(self, build):
        output, net = build(DATA + layer("drop", "Dropout", "data"), [])
        x = net["data"].input_var
        assert lasagne.layers.get_output(output, deterministic=True) is x
        assert output.p == 0.5

    def test_transposed_inner_products(self, build):
        W = np.arange(192 * 2, dtype="float32").reshape(192, 2)
        text = layer(
            "fc",
            "InnerProduct",
            "data",
            "inner_product_param { num_output: 2 transpose: true bias_term: false }",
        )
        _, net = build(DATA + text, [("fc", [W])])
        np.testing.assert_array_equal(net["fc"].W.get_value(), W.T)

    def test_blobs_of_older_files_may_have_leading_ones(self, build):
        _, net = build(DATA + CONV, [("conv", [ones(4, 3, 3, 3), ones(1, 1, 1, 4)])])
        assert net["conv"].b.get_value().shape == (4,)

    def test_layers_without_weights_may_have_an_empty_entry(self, build):
        build(DATA + layer("relu", "ReLU", "data"), [("relu", [])])

    def test_axes_may_count_from_the_end(self, build):
        text = DATA + layer("scale", "Scale", "data", "scale_param { axis: -2 num_axes: -1 }")
        assert build(text, [("scale", [ones(8, 8)])])[0].axis == 2

    def test_an_inner_product_may_count_its_axis_from_the_end(self, build):
        second = layer("fc2", "InnerProduct", "fc", "inner_product_param { num_output: 1 axis: -1 }")
        text = DATA + CONV + FC.replace("num_output: 2", "num_output: 2 axis: -3") + second
        output, _ = build(text, [*WEIGHTS, ("fc2", [ones(1, 2), ones(1)])])
        assert output.output_shape == (None, 1)

    def test_scale_by_a_number(self, build):
        text = DATA + layer("scale", "Scale", "data", "scale_param { num_axes: 0 }")
        assert build(text, [("scale", [np.ones((), "float32")])])[0].scale.ndim == 0


class TestLayersOfSeveralTops:
    SLICE = layer("slice", "Slice", "data", "slice_param { slice_point: 1 }", top="blue rest")

    def test_have_an_entry_for_each_top(self, build):
        output, net = build(DATA + self.SLICE + layer("cat", "Concat", "rest blue"), [])
        assert list(net) == ["data", "slice:blue", "slice:rest", "cat"]
        assert net["slice:rest"].output_shape == (None, 2, 8, 8)
        assert output.input_layers == [net["slice:rest"], net["slice:blue"]]

    def test_that_hand_on_their_input_are_that_input(self, build):
        split = layer("split", "Split", "data", top="one other")
        _, net = build(DATA + split + layer("sum", "Eltwise", "one other"), [])
        assert net["split:one"] is net["split:other"] is net["data"]

    def test_with_a_top_that_nobody_reads_are_errors(self, build):
        with pytest.raises(
            PrototxtError, match=r"layer 'slice' .*: got 2 outputs that nobody reads \('blue', 'relu'\)"
        ):
            build(DATA + self.SLICE + layer("relu", "ReLU", "rest"), [])

    def test_with_two_tops_of_one_name_are_errors(self, build):
        with pytest.raises(PrototxtError, match="top 'a': layer 'slice' makes it already"):
            build(DATA + layer("slice", "Slice", "data", top="a a a") + layer("relu", "ReLU", "a"), [])


class TestLongNetworks:
    """Theano and Lasagne walk through a network by recursion, Python's limit is 1000."""

    def test_an_eltwise_of_2000_inputs_is_computed(self, build):
        output, net = build(DATA + layer("sum", "Eltwise", " ".join(["data"] * 2000)), [])
        f = unoptimised.function([net["data"].input_var], lasagne.layers.get_output(output))
        np.testing.assert_array_equal(f(ones(1, 3, 8, 8)), 2000 * ones(1, 3, 8, 8))


class TestErrors:
    @pytest.mark.parametrize(
        "weights, message",
        [
            (
                [],
                r":2: layer 'conv' \(Convolution\): weights: got 0 blobs, expected 2 \(filters, bias\)",
            ),
            ([("conv", WEIGHTS[0][1][:1]), WEIGHTS[1]], "got 1 blobs, expected 2"),
            ([("conv", [*WEIGHTS[0][1], ones(1)]), WEIGHTS[1]], "got 3 blobs, expected 2"),
            (
                [*WEIGHTS, ("more", [ones(1)])],
                "weights: got blobs for layer 'more', which the network does not have",
            ),
            ([*WEIGHTS, WEIGHTS[0]], "weights: got two entries for one layer"),
            ([*WEIGHTS, ("data", [ones(1)])], r"layer 'data' \(Input\): weights: got 1 blobs, expected none"),
            (
                [("conv", [ones(4, 3, 3, 2), ones(4)]), WEIGHTS[1]],
                r"layer 'conv' .*: weights: filters: got shape \(4, 3, 3, 2\), expected \(4, 3, 3, 3\)",
            ),
            (
                [WEIGHTS[0], ("fc", [ones(2, 143), ones(2)])],
                r"matrix: got shape \(2, 143\), expected \(2, 144\)",
            ),
            (
                [("conv", [ones(4, 3, 3, 3), ones(4, 1)]), WEIGHTS[1]],
                r"bias: got shape \(4, 1\), expected \(4,\)",
            ),
        ],
    )
    def test_of_weights_name_layer_got_and_expected(self, build, weights, message):
        with pytest.raises(WeightsError, match=message):
            build(DATA + CONV + FC, weights)

    @pytest.mark.parametrize("axis", [-1, -2, -4, -5])
    def test_of_an_inner_product_along_another_axis(self, axis, build):
        text = DATA + CONV + FC.replace("num_output: 2", f"num_output: 2 axis: {axis}")
        with pytest.raises(PrototxtError, match=rf":3: layer 'fc' \(InnerProduct\): axis: got {axis}, expected 1"):
            build(text, WEIGHTS)

    def test_of_a_variance_below_zero(self, build):
        text = DATA + layer("bn", "BatchNorm", "data")
        with pytest.raises(WeightsError, match=r"layer 'bn' \(BatchNorm\): weights: variance: got a negative value"):
            build(text, [("bn", [ones(3), -ones(3), ones(1)])])

    @pytest.mark.parametrize(
        "text, message",
        [
            (
                layer("pool", "Pooling", "data", "pooling_param { kernel_size: 9 }"),
                r"net.prototxt:2: layer 'pool' \(Pooling\): padded input of 8 is smaller",
            ),
            (
                CONV.replace("kernel_size: 3", "kernel_size: 3 group: 2"),
                "group: got 2, expected a divisor of the 3 input",
            ),
            (
                CONV + FC + layer("pool", "Pooling", "fc", "pooling_param { kernel_size: 2 }"),
                "layer 'pool' .*: input shape: got",
            ),
            (CONV + layer("sum", "Eltwise", "conv data"), "layer 'sum' .*: inputs of one shape are expected"),
            (
                CONV + layer("cat", "Concat", "conv data"),
                "layer 'cat' .*: inputs that differ along axis 1 only",
            ),
            (
                layer("prob", "Softmax", "data", "softmax_param { axis: 4 }"),
                "layer 'prob' .*: axis: got 4, expected",
            ),
            (
                layer("s", "Scale", "data", "scale_param { axis: 2 num_axes: 3 }"),
                "axis, num_axes: got 2, 3, expected axes 1 to 3",
            ),
            (
                layer("pool", "Pooling", "data", "pooling_param { kernel_size: 1 stride: 5 }"),
                "last window without a pixel",
            ),
            (
                layer(
                    "a",
                    "Convolution",
                    "data",
                    "convolution_param { num_output: 4 kernel_size: 3 pad: 60000 }",
                ),
                r"layer 'a' .*: output shape: got \(None, 4, 120006, 120006\), expected at most 268435456",
            ),
        ],
    )
    def test_of_layers_that_do_not_fit_name_file_line_and_layer(self, build, text, message):
        weights = [("a" if name == "conv" and '"a"' in text else name, blobs) for name, blobs in WEIGHTS]
        weights = [(name, blobs) for name, blobs in weights if f'"{name}"' in text]
        with pytest.raises(PrototxtError, match=message):
            build(DATA + text, weights)
