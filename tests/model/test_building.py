"""What builders make of a layer's settings, inputs and arrays: shapes and messages, and nothing is computed."""

import re

import theano_compat  # noqa: F401

import numpy as np
import pytest
from google.protobuf import text_format
from lasagne.layers import FlattenLayer, InputLayer, ReshapeLayer

from nsfw_model import network, prototxt
from nsfw_model.layers.building import BUILDERS, axis_of, image_shape, take
from nsfw_model.prototxt import PrototxtError
from nsfw_model.schema import LayerParameter
from nsfw_model.spec import LayerSpec
from nsfw_model.weights import WeightsError

SHAPE = (None, 6, 11, 9)


def ones(*shape):
    return np.ones(shape, np.float32)


def spec_of(type, text="", bottoms=1, tops=1):
    names = [f"bottom: '{index}'" for index in range(bottoms)] + [f"top: 't{index}'" for index in range(tops)]
    message = text_format.Parse(f"name: 'it' type: '{type}' {' '.join(names)} {text}", LayerParameter())
    return prototxt._layer_spec(message, "net:5")


def built(type, text="", shapes=(SHAPE,), blobs=(), tops=1):
    spec = spec_of(type, text, len(shapes), tops)
    made = {str(index): InputLayer(shape) for index, shape in enumerate(shapes)}
    return network._build(spec, made, list(blobs))


def shapes_of(*args, **kwargs):
    return [layer.output_shape for layer in built(*args, **kwargs)]


def refuse(message, *args, error=PrototxtError, **kwargs):
    type = args[0]
    whole = f"net:5: layer 'it' ({type}): {message}"
    with pytest.raises(error, match=f"^{re.escape(whole)}$"):
        built(*args, **kwargs)


#: Settings that have no defaults.
NEEDED = {
    "Clip": "clip_param { min: 0 max: 1 }",
    "Convolution": "convolution_param { num_output: 4 kernel_size: 3 }",
    "Deconvolution": "convolution_param { num_output: 4 kernel_size: 3 }",
    "InnerProduct": "inner_product_param { num_output: 2 }",
    "Pooling": "pooling_param { kernel_size: 2 }",
}


class TestArrays:
    SPEC = LayerSpec("it", "Scale", (), ())

    def test_are_taken_in_their_order(self):
        first, second = ones(2, 3), ones(4)
        a, none, b = take(self.SPEC, [first, second], a=(2, 3), none=None, b=(4,))
        assert a is first and none is None and b is second
        assert take(self.SPEC, []) == [] and take(self.SPEC, [], none=None) == [None]

    @pytest.mark.parametrize(
        "blobs, shapes, expected",
        [
            ([], {"a": (1,)}, "got 0 blobs, expected 1 (a)"),
            ([ones(1)], {"a": (1,), "b": (1,)}, "got 1 blobs, expected 2 (a, b)"),
            ([ones(1)] * 3, {"a": (1,), "none": None, "b": (1,)}, "got 3 blobs, expected 2 (a, b)"),
            ([ones(1)], {"none": None}, "got 1 blobs, expected none"),
            ([ones(2)], {"a": (1,)}, "a: got shape (2,), expected (1,)"),
            ([ones(1), ones(2, 3)], {"a": (1,), "b": (3, 2)}, "b: got shape (2, 3), expected (3, 2)"),
            ([ones(1, 1, 2)], {"a": (2,)}, "a: got shape (1, 1, 2), expected (2,)"),
            ([ones(1, 2, 1, 1)], {"a": (2,)}, "a: got shape (1, 2, 1, 1), expected (2,)"),
            ([ones(2, 1, 1, 1)], {"a": (2, 1)}, "a: got shape (2, 1, 1, 1), expected (2, 1)"),
        ],
    )
    def test_that_do_not_fit_are_named(self, blobs, shapes, expected):
        whole = f"layer 'it' (Scale): weights: {expected}"
        with pytest.raises(WeightsError, match=f"^{re.escape(whole)}$"):
            take(self.SPEC, blobs, **shapes)

    @pytest.mark.parametrize(
        "shape, of_old", [((2,), (1, 1, 1, 2)), ((3, 2), (1, 1, 3, 2)), ((), (1, 1, 1, 1)), ((1, 2, 3), (1, 1, 2, 3))]
    )
    def test_of_old_files_have_ones_in_front(self, shape, of_old):
        (array,) = take(self.SPEC, [ones(*of_old)], a=shape)
        assert array.shape == shape


class TestAxes:
    @pytest.mark.parametrize("axis, front", [(1, 1), (3, 3), (-1, 3), (-3, 1)])
    def test_are_counted_from_either_end(self, axis, front):
        assert axis_of(LayerSpec("it", "Softmax", (), (), {"axis": axis}), InputLayer(SHAPE)) == front

    @pytest.mark.parametrize("axis", [0, 4, -4, -5])
    def test_are_those_of_a_picture(self, axis):
        message = f"layer 'it' (Softmax): end_axis: got {axis}, expected an axis of {SHAPE} other than the batch"
        with pytest.raises(PrototxtError, match=f"^{re.escape(message)}$"):
            axis_of(LayerSpec("it", "Softmax", (), (), {"end_axis": axis}), InputLayer(SHAPE), "end_axis")

    @pytest.mark.parametrize("axis, front", [(0, 0), (4, 4), (-4, 0)])
    def test_may_be_the_end_or_the_batch_where_none_is_covered(self, axis, front):
        spec = LayerSpec("it", "Scale", (), (), {"axis": axis})
        assert axis_of(spec, InputLayer(SHAPE), may_end=True) == front
        for beyond in 5, -5:
            with pytest.raises(PrototxtError):
                axis_of(LayerSpec("it", "Scale", (), (), {"axis": beyond}), InputLayer(SHAPE), may_end=True)

    def test_of_a_picture_are_four(self):
        spec = LayerSpec("it", "Pooling", (), ())
        assert image_shape(spec, InputLayer(SHAPE)) == SHAPE
        message = re.escape("input shape: got (None, 6), expected (batch, channels, height, width)")
        with pytest.raises(PrototxtError, match=message):
            image_shape(spec, InputLayer((None, 6)))


class TestShapes:
    @pytest.mark.parametrize(
        "text, filters, shape",
        [
            ("num_output: 4 kernel_size: 3", (4, 6, 3, 3), (None, 4, 9, 7)),
            ("num_output: 4 kernel_size: [3, 5] pad: [1, 2] stride: [2, 3]", (4, 6, 3, 5), (None, 4, 6, 3)),
            ("num_output: 4 kernel_size: 3 dilation: [2, 4] group: 2", (4, 3, 3, 3), (None, 4, 7, 1)),
            ("num_output: 4 kernel_size: [11, 9]", (4, 6, 11, 9), (None, 4, 1, 1)),
        ],
    )
    @pytest.mark.parametrize("bias", [False, True])
    def test_of_a_convolution(self, text, filters, shape, bias):
        blobs = [ones(*filters), ones(4)][: 1 + bias]
        text = f"convolution_param {{ {text} bias_term: {str(bias).lower()} }}"
        (layer,) = built("Convolution", text, blobs=blobs)
        assert layer.output_shape == shape and (layer.b is not None) is bias
        assert layer.name == "it" and layer.W.get_value().shape == filters

    @pytest.mark.parametrize(
        "text, filters, shape",
        [
            ("num_output: 4 kernel_size: 3", (6, 4, 3, 3), (None, 4, 13, 11)),
            ("num_output: 4 kernel_size: [3, 5] pad: [1, 2] stride: [2, 3]", (6, 4, 3, 5), (None, 4, 21, 25)),
            ("num_output: 4 kernel_size: 3 dilation: [2, 4] group: 2", (6, 2, 3, 3), (None, 4, 15, 17)),
            ("num_output: 4 kernel_size: 1 pad: [5, 4]", (6, 4, 1, 1), (None, 4, 1, 1)),
        ],
    )
    def test_of_a_deconvolution(self, text, filters, shape):
        """stride (size - 1) + dilation (kernel - 1) + 1 - 2 pad."""
        blobs = [ones(*filters), ones(4)]
        assert shapes_of("Deconvolution", f"convolution_param {{ {text} }}", blobs=blobs) == [shape]

    @pytest.mark.parametrize("type", ["Convolution", "Deconvolution"])
    def test_of_groups_that_do_not_divide_the_channels_are_an_error(self, type):
        text = "convolution_param { num_output: 4 kernel_size: 3 group: 4 }"
        refuse("group: got 4, expected a divisor of the 6 input channels", type, text)
        refuse(
            "weights: got 0 blobs, expected 2 (filters, bias)",
            type,
            text.replace("group: 4", "group: 2"),
            error=WeightsError,
        )

    @pytest.mark.parametrize(
        "text, shape",
        [
            ("kernel_size: 2 stride: 2", (None, 6, 6, 5)),
            ("kernel_size: 2 stride: 2 round_mode: FLOOR", (None, 6, 5, 4)),
            ("kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 pad_h: 1 pad_w: 0", (None, 6, 11, 3)),
            ("global_pooling: true", (None, 6, 1, 1)),
            ("kernel_h: 11 kernel_w: 9", (None, 6, 1, 1)),
        ],
    )
    def test_of_a_pooling(self, text, shape):
        assert shapes_of("Pooling", f"pooling_param {{ {text} }}") == [shape]

    @pytest.mark.parametrize("transpose", [False, True])
    @pytest.mark.parametrize("bias", [False, True])
    def test_of_a_matrix(self, transpose, bias):
        matrix = np.arange(2 * 594, dtype=np.float32).reshape(2, 594)
        blobs = [matrix.T if transpose else matrix, ones(2)][: 1 + bias]
        text = f"num_output: 2 transpose: {str(transpose).lower()} bias_term: {str(bias).lower()} axis: -3"
        text = f"inner_product_param {{ {text} }}"
        (layer,) = built("InnerProduct", text, blobs=blobs)
        assert layer.output_shape == (None, 2) and (layer.b is not None) is bias
        np.testing.assert_array_equal(layer.W.get_value(), matrix)
        refuse("axis: got -2, expected 1, the channels", "InnerProduct", text.replace("-3", "-2"), blobs=blobs)

    @pytest.mark.parametrize(
        "settings, covered",
        [
            ("", (6,)),
            ("num_axes: 2", (6, 11)),
            ("num_axes: -1", (6, 11, 9)),
            ("axis: 2 num_axes: -1", (11, 9)),
            ("axis: -1", (9,)),
            ("num_axes: 0", ()),
            ("axis: 0 num_axes: 0", ()),
            ("axis: 4 num_axes: 0", ()),
        ],
    )
    def test_of_a_scale_and_a_bias(self, settings, covered):
        (layer,) = built(
            "Scale", f"scale_param {{ {settings} bias_term: true }}", blobs=[ones(*covered), ones(*covered)]
        )
        assert layer.scale.get_value().shape == layer.bias.get_value().shape == covered
        (layer,) = built("Bias", f"bias_param {{ {settings} }}", blobs=[ones(*covered)])
        assert layer.bias.get_value().shape == covered and layer.output_shape == SHAPE

    @pytest.mark.parametrize(
        "settings, told", [("axis: 3 num_axes: 2", "3, 2"), ("axis: -4 num_axes: 1", None), ("num_axes: 4", "1, 4")]
    )
    def test_of_a_scale_beyond_the_picture_are_an_error(self, settings, told):
        message = f"axis, num_axes: got {told}, expected axes 1 to 3"
        if told is None:
            message = f"axis: got -4, expected an axis of {SHAPE} other than the batch"
        refuse(message, "Scale", f"scale_param {{ {settings} }}")

    @pytest.mark.parametrize(
        "text, tops, shapes",
        [
            ("", 3, [(None, 2, 11, 9)] * 3),
            ("", 1, [SHAPE]),
            ("slice_point: 1 slice_point: 5", 3, [(None, 1, 11, 9), (None, 4, 11, 9), (None, 1, 11, 9)]),
            ("slice_point: 5", 2, [(None, 5, 11, 9), (None, 1, 11, 9)]),
            ("axis: -1 slice_point: 4", 2, [(None, 6, 11, 4), (None, 6, 11, 5)]),
        ],
    )
    def test_of_slices(self, text, tops, shapes):
        assert shapes_of("Slice", f"slice_param {{ {text} }}", tops=tops) == shapes

    @pytest.mark.parametrize(
        "text, tops, message",
        [
            ("", 4, "got 4 tops, expected a divisor of the size 6 of axis 1"),
            ("slice_point: 6", 2, "slice_point: got (6,), expected numbers below the size 6 of axis 1"),
        ],
    )
    def test_of_slices_that_do_not_fit_are_an_error(self, text, tops, message):
        refuse(message, "Slice", f"slice_param {{ {text} }}", tops=tops)

    def test_of_slices_of_an_unknown_size_are_an_error(self):
        unknown = (None, 6, None, 9)
        refuse(
            f"input shape: got {unknown}, expected to know the size of axis 2",
            "Slice",
            "slice_param { axis: 2 }",
            shapes=(unknown,),
            tops=2,
        )

    def test_of_joined_and_split_inputs(self):
        others = [(None, 6, 11, 9), (None, 2, 11, 9)]
        assert shapes_of("Concat", shapes=others) == [(None, 8, 11, 9)]
        message = f"inputs that differ along axis 2 only are expected, got {others}"
        refuse(message, "Concat", "concat_param { axis: 2 }", shapes=others)
        assert shapes_of("Concat", "concat_param { axis: -1 }", shapes=(SHAPE, (None, 6, 11, 1))) == [(None, 6, 11, 10)]
        assert shapes_of("Split", tops=3) == [SHAPE] * 3

    @pytest.mark.parametrize(
        "text, shape",
        [
            ("", (None, 6, 5, 4)),
            ("axis: 3", (None, 6, 11, 4)),
            ("offset: 5", (None, 6, 5, 4)),
            ("offset: 6 offset: 5", (None, 6, 5, 4)),
            ("axis: 1 offset: 1 offset: 2 offset: 3", (None, 5, 5, 4)),
        ],
    )
    def test_of_a_crop(self, text, shape):
        size = (None, 5, 5, 4) if text.startswith("axis: 1") else (None, 6, 5, 4)
        assert shapes_of("Crop", f"crop_param {{ {text} }}", shapes=(SHAPE, size)) == [shape]

    @pytest.mark.parametrize("offset, told", [("offset: 7 offset: 0", "(7, 0)"), ("offset: 0 offset: 6", "(0, 6)")])
    def test_of_a_crop_that_reaches_out_are_an_error(self, offset, told):
        message = f"offset: got {told}, which with size (5, 4) reaches out of (11, 9)"
        refuse(message, "Crop", f"crop_param {{ {offset} }}", shapes=(SHAPE, (None, 6, 5, 4)))

    @pytest.mark.parametrize(
        "text, shape",
        [
            ("", (None, 594)),
            ("axis: 2", (None, 6, 99)),
            ("end_axis: 2", (None, 66, 9)),
            ("axis: 2 end_axis: -2", (None, 6, 11, 9)),
            ("axis: 3 end_axis: 3", (None, 6, 11, 9)),
        ],
    )
    def test_of_a_flatten(self, text, shape):
        assert shapes_of("Flatten", f"flatten_param {{ {text} }}") == [shape]

    @pytest.mark.parametrize(
        "text, shape",
        [
            ("shape { dim: 0 dim: -1 }", (None, 594)),
            ("shape { dim: 0 dim: 0 dim: 99 }", (None, 6, 99)),
            ("shape { dim: -1 } axis: 1", (None, 594)),
            ("shape { dim: 3 dim: 2 } axis: 1 num_axes: 1", (None, 3, 2, 11, 9)),
            ("shape { dim: 1 } axis: -1 num_axes: 0", (None, 6, 11, 9, 1)),
            ("shape { dim: 1 } axis: 4 num_axes: 0", (None, 6, 11, 9, 1)),
            ("shape { dim: 99 } axis: -3 num_axes: 2", (None, 6, 99)),
        ],
    )
    def test_of_a_reshape(self, text, shape):
        assert shapes_of("Reshape", f"reshape_param {{ {text} }}") == [shape]

    @pytest.mark.parametrize(
        "text, message",
        [
            ("axis: 5", f"axis, num_axes: got 5, -1, expected axes of {SHAPE}"),
            ("axis: -6", f"axis, num_axes: got -6, -1, expected axes of {SHAPE}"),
            ("axis: 2 num_axes: 3", f"axis, num_axes: got 2, 3, expected axes of {SHAPE}"),
            ("shape { dim: 0 dim: 7 dim: -1 }", "shape: got (7, -1) for the 594 values of a picture (6, 11, 9)"),
            ("shape { dim: 0 dim: 593 }", "shape: got (593,) for the 594 values of a picture (6, 11, 9)"),
            ("shape { dim: 0 dim: 0 } axis: 3", f"shape: got (0, 0), whose 0 has no axis of {SHAPE} to copy"),
        ],
    )
    def test_of_a_reshape_that_does_not_fit_are_an_error(self, text, message):
        refuse(message, "Reshape", f"reshape_param {{ {text} }}")

    @pytest.mark.parametrize("shape", [SHAPE, (None, 6, None, 9)])
    def test_that_become_flat_are_lasagnes_layer_for_that_where_they_are_known(self, shape):
        for type, text in ("Flatten", ""), ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"):
            (layer,) = built(type, text, shapes=(shape,))
            assert isinstance(layer, FlattenLayer if None not in shape[1:] else ReshapeLayer)

    def test_of_normalised_inputs_stay(self):
        assert shapes_of("BatchNorm", blobs=[ones(6), ones(6), ones(1)]) == [SHAPE]
        refuse(
            "weights: mean: got shape (5,), expected (6,)",
            "BatchNorm",
            blobs=[ones(5), ones(6), ones(1)],
            error=WeightsError,
        )
        assert shapes_of("BatchNorm", "batch_norm_param { eps: 2 }", blobs=[ones(6), -ones(6), ones(1)]) == [SHAPE]
        for scale_factor, eps in (ones(1), 1), (ones(1) / 2, 2):
            refuse(
                "weights: variance: got a negative value, expected 0 or more",
                "BatchNorm",
                f"batch_norm_param {{ eps: {eps} }}",
                blobs=[ones(6), -ones(6), scale_factor],
                error=WeightsError,
            )
        assert shapes_of("BatchNorm", blobs=[ones(6), -ones(6), 0 * ones(1)]) == [SHAPE]
        assert shapes_of("Softmax", "softmax_param { axis: -1 }") == [SHAPE]


class TestNetwork:
    DATA = LayerSpec("data", "Input", (), ("data",), {"shape": (1, 6, 11, 9)})
    RELU = LayerSpec("relu", "ReLU", ("data",), ("relu",), {"negative_slope": 0.0}, "net:5")

    def test_layers_of_several_tops_have_an_entry_for_each(self):
        split = LayerSpec("split", "Split", ("data",), ("a", "b"))
        total = LayerSpec("sum", "Eltwise", ("a", "b"), ("sum",), {"operation": "sum", "coeff": None})
        output, net = network.build_net([self.DATA, split, total], [])
        assert list(net) == ["data", "split:a", "split:b", "sum"] and output is net["sum"]

    @pytest.mark.parametrize("shape", [None, (None, 6, 5, 4), (2, 6, None, None)])
    def test_the_input_has_the_shape_that_is_asked_for(self, shape):
        _, net = network.build_net([self.DATA, self.RELU], [], input_shape=shape)
        assert net["data"].output_shape == (None, *(shape or SHAPE)[1:])  # for any number of pictures

    def test_outputs_are_limited(self, monkeypatch):
        monkeypatch.setattr(network, "MAX_VALUES", 594)
        network.build_net([self.DATA, self.RELU], [])
        monkeypatch.setattr(network, "MAX_VALUES", 593)
        with pytest.raises(PrototxtError, match="output shape: got .*, expected at most 593 values$"):
            network.build_net([self.DATA, self.RELU], [])

    def test_weights_belong_to_one_layer_each(self):
        with pytest.raises(WeightsError, match="^weights: got two entries for one layer$"):
            network.build_net([self.DATA, self.RELU], [("relu", []), ("relu", [])])
        message = "weights: got blobs for layer 'b', which the network does not have "
        message += "(`open-nsfw convert --deploy` leaves such out)"
        with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
            network.build_net([self.DATA, self.RELU], [("relu", []), ("b", []), ("c", [])])

    @pytest.mark.parametrize("type", sorted(set(BUILDERS) - {"Input"}))
    def test_a_blob_too_many_is_an_error_of_weights_that_names_the_layer(self, type):
        spec = spec_of(type, NEEDED.get(type, ""), 2 if type in ("Crop", "Eltwise") else 1)
        with pytest.raises(WeightsError, match=rf"^net:5: layer 'it' \({type}\): weights: got 5 blobs, expected "):
            network._build(spec, {"0": InputLayer(SHAPE), "1": InputLayer(SHAPE)}, [ones(1)] * 5)
