"""What data sources of caffemodels and fields of older files say, field by field."""

import warnings

import numpy as np
import pytest
from google.protobuf import text_format

from nsfw_model import upgrade
from nsfw_model.caffemodel import CaffemodelError
from nsfw_model.data_source import free_name, picture_shape, value_layers
from nsfw_model.prototxt import PrototxtError
from nsfw_model.schema import LayerParameter, NetParameter, V1LayerParameter

YAHOOS_MEANS = [104, 117, 123]  # blue, green, red, of classify_nsfw.py


def source(type, text=""):
    return text_format.Parse(f"name: 'data' type: '{type}' top: 'data' {text}", LayerParameter())


def net_of(text):
    return text_format.Parse(text, NetParameter())


class TestShape:
    CONVOLUTION = "layer { name: 'conv' type: 'Convolution' bottom: 'data' convolution_param { group: 2 } }"

    @pytest.mark.parametrize(
        "type, text, shape",
        [
            ("MemoryData", "memory_data_param { channels: 3 height: 8 width: 9 }", (3, 8, 9)),
            ("DummyData", "dummy_data_param { shape { dim: 5 dim: 3 dim: 8 dim: 9 } shape { dim: 1 } }", (3, 8, 9)),
            ("DummyData", "dummy_data_param { shape { dim: 5 dim: 7 } }", (7,)),
            (
                "DummyData",
                "dummy_data_param { channels: 3 height: 8 width: 9 channels: 1 height: 1 width: 1 }",
                (3, 8, 9),
            ),
            ("ImageData", "image_data_param { new_height: 8 new_width: 9 }", (3, 8, 9)),
            ("ImageData", "image_data_param { new_height: 8 new_width: 9 is_color: false }", (1, 8, 9)),
            (
                "ImageData",
                "image_data_param { new_height: 8 new_width: 9 } transform_param { crop_size: 7 }",
                (3, 7, 7),
            ),
            ("ImageData", "transform_param { crop_size: 7 }", (3, 7, 7)),
            ("Data", "transform_param { crop_size: 7 }", (6, 7, 7)),
        ],
    )
    def test_is_what_the_source_says(self, type, text, shape):
        """Of a crop alone, the channels are those of the filters, times their groups."""
        weights = [("conv", [np.zeros((4, 3, 5, 5), np.float32)])]
        assert picture_shape(source(type, text), net_of(self.CONVOLUTION), weights) == shape

    @pytest.mark.parametrize(
        "type, text",
        [
            ("MemoryData", "memory_data_param { height: 8 width: 9 }"),
            ("DummyData", "dummy_data_param { shape { dim: 5 } }"),
            ("DummyData", "dummy_data_param { channels: 3 height: 8 }"),
            ("ImageData", "image_data_param { new_height: 8 }"),
            ("ImageData", "image_data_param { new_width: 8 }"),
            ("Data", "image_data_param { new_height: 8 new_width: 9 }"),
            ("Data", ""),
        ],
    )
    def test_that_is_said_in_part_is_asked_for(self, type, text):
        message = (
            rf"^layer 'data' \({type}\): does not say how large a picture is; expected channels, height and "
            r"width to be given as the input shape \(--input-shape\)$"
        )
        weights = [("conv", [np.zeros((4, 3, 5, 5), np.float32)])]
        with pytest.raises(CaffemodelError, match=message):
            picture_shape(source(type, text), net_of(self.CONVOLUTION), weights)

    @pytest.mark.parametrize(
        "layer, shape",
        [
            ("name: 'conv' type: 'Convolution' bottom: 'other'", (4, 3, 5, 5)),
            ("name: 'conv' type: 'Deconvolution' bottom: 'data'", (4, 3, 5, 5)),
            ("name: 'conv' type: 'Convolution' bottom: 'data'", (4, 3, 5)),
            ("name: 'none' type: 'Convolution' bottom: 'data'", (4, 3, 5, 5)),
        ],
    )
    def test_is_not_taken_from_other_layers(self, layer, shape):
        weights = [("conv", [np.zeros(shape, np.float32)])]
        with pytest.raises(CaffemodelError, match="does not say how large a picture is"):
            picture_shape(source("Data", "transform_param { crop_size: 7 }"), net_of(f"layer {{ {layer} }}"), weights)


class TestValues:
    def layers(self, type, text="", channels=3, **options):
        return [
            (
                layer.name,
                layer.type,
                [round(value, 4) for value in layer.blobs[0].data] if layer.blobs else layer.power_param.scale,
            )
            for layer in value_layers(source(type, text), channels, **options)
        ]

    def test_that_are_yahoos_need_nothing(self):
        text = "transform_param { mean_value: 104 mean_value: 117 mean_value: 123 }"
        assert self.layers("Data", text) == []
        assert self.layers("Data", text.replace("}", "scale: 1 }")) == []
        assert self.layers("Data", means=YAHOOS_MEANS) == []

    def test_of_other_means_are_moved_by_what_was_taken_before(self):
        text = "transform_param { mean_value: 100 mean_value: 110 mean_value: 123 }"
        assert self.layers("Data", text) == [("data_mean", "Bias", [4, 7, 0])]
        assert self.layers("Data", "transform_param { mean_value: 100 }") == [("data_mean", "Bias", [4, 17, 23])]
        assert self.layers("Data", text, means=[0]) == [("data_mean", "Bias", YAHOOS_MEANS)]

    def test_of_another_scale_are_multiplied_behind(self):
        text = "transform_param { mean_value: 100 scale: 0.5 }"
        assert self.layers("Data", text) == [("data_mean", "Bias", [4, 17, 23]), ("data_scale", "Power", 0.5)]
        assert self.layers("MemoryData", "transform_param { scale: 0.5 }") == [
            ("data_mean", "Bias", YAHOOS_MEANS),
            ("data_scale", "Power", 0.5),
        ]

    def test_of_other_channels_are_0_to_255_before(self):
        assert self.layers("Data", "transform_param { mean_value: 100 }", 2) == [("data_mean", "Bias", [-100, -100])]
        assert self.layers("Data", "transform_param { mean_value: 0 }", 2) == []

    def test_have_layers_that_work_in_place_and_names_of_their_own(self):
        text = "transform_param { mean_value: 100 scale: 0.5 }"
        layers = value_layers(source("Data", text), 3, taken={"data_mean", "data_scale", "data_scale_"})
        assert [layer.name for layer in layers] == ["data_mean_", "data_scale__"]
        assert all(list(layer.bottom) == list(layer.top) == ["data"] for layer in layers)
        assert list(layers[0].blobs[0].shape.dim) == [3]

    @pytest.mark.parametrize(
        "type", ["AnnotatedData", "Data", "ImageData", "WindowData", "MemoryData", "HDF5Data", "DummyData"]
    )
    @pytest.mark.parametrize(
        "text, reason",
        [("", "says nothing of them"), ("mean_file: 'm.binaryproto'", "has them in a file .*m.binaryproto")],
    )
    def test_of_pictures_without_means_are_warned_of(self, type, text, reason):
        of_pictures = type not in ("MemoryData", "HDF5Data", "DummyData")
        text = f"transform_param {{ {text} }}"
        if of_pictures:
            with pytest.warns(
                UserWarning, match=rf"layer 'data' \({type}\): its means are taken to be Yahoo's, for it {reason}"
            ):
                assert self.layers(type, text) == []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if not of_pictures:
                assert self.layers(type, text) == []
            assert self.layers(type, text, means=YAHOOS_MEANS) == []

    def test_of_a_file_of_means_are_yahoos_at_their_scale(self):
        with pytest.warns(UserWarning, match="its means are taken to be Yahoo's"):
            layers = self.layers("Data", "transform_param { mean_file: 'm' scale: 0.5 }")
        assert layers == [("data_scale", "Power", 0.5)]

    @pytest.mark.parametrize(
        "channels, means, message",
        [
            (3, [1, 2], "got 2 means, expected 1, or 3, one for each channel"),
            (3, [1, 2, 3, 4], "got 4 means, expected 1, or 3, one for each channel"),
            (3, [float("nan")], "got means that are not finite"),
            (0, [1], "got 0 channels, expected 1 to 65536"),
            (65537, [1], "got 65537 channels, expected 1 to 65536"),
        ],
    )
    def test_of_means_that_fit_nothing_are_an_error(self, channels, means, message):
        with pytest.raises(CaffemodelError, match=rf"^layer 'data' \(Data\): {message}$"):
            value_layers(source("Data"), channels, means)
        assert len(value_layers(source("Data"), 65536, [1])) == 1

    def test_names_get_as_many_underscores_as_they_need(self):
        assert [free_name("a", taken) for taken in ((), ("b",), ("a",), ("a", "a_"))] == ["a", "a", "a_", "a__"]


class TestOlderFields:
    def upgraded(self, text):
        net = NetParameter()
        net.layers.append(text_format.Parse(text, V1LayerParameter()))
        upgrade.upgrade_v1_layers(net, "net")
        assert not net.layers
        return net.layer[0]

    def test_of_a_layer_are_those_of_today(self):
        old = "name: 'a' type: CONVOLUTION bottom: 'b' bottom: 'c' top: 'd' loss_weight: 2 convolution_param { pad: 1 }"
        new = (
            "name: 'a' type: 'Convolution' bottom: 'b' bottom: 'c' top: 'd' loss_weight: 2 convolution_param { pad: 1 }"
        )
        assert self.upgraded(old) == text_format.Parse(new, LayerParameter())

    def test_of_blobs_are_gathered_one_by_one(self):
        old = "type: CONVOLUTION param: 'w' param: 'b' blobs_lr: 1 blobs_lr: 2 blobs_lr: 3 weight_decay: 0.5"
        old += " blob_share_mode: PERMISSIVE"
        new = "type: 'Convolution' param { name: 'w' lr_mult: 1 decay_mult: 0.5 share_mode: PERMISSIVE }"
        new += " param { name: 'b' lr_mult: 2 } param { lr_mult: 3 }"
        assert self.upgraded(old) == text_format.Parse(new, LayerParameter())

    @pytest.mark.parametrize(
        "type, field, name",
        [
            ("DATA", "data_param", "Data"),
            ("IMAGE_DATA", "image_data_param", "ImageData"),
            ("WINDOW_DATA", "window_data_param", "WindowData"),
        ],
    )
    def test_of_transformations_move(self, type, field, name):
        said = "scale: 0.5 mean_file: 'm' crop_size: 7 mirror: true"
        old = f"name: 'a' type: {type} {field} {{ batch_size: 3 {said} }}"
        new = f"name: 'a' type: '{name}' {field} {{ batch_size: 3 }} transform_param {{ {said} }}"
        assert self.upgraded(old) == text_format.Parse(new, LayerParameter())

    @pytest.mark.parametrize(
        "text, inputs",
        [
            ("", []),
            ("input: 'a' input_dim: [1, 3, 8, 9]", [("a", [1, 3, 8, 9])]),
            ("input: 'a' input: 'b' input_dim: [1, 3, 8, 9, 2, 4, 6, 7]", [("a", [1, 3, 8, 9]), ("b", [2, 4, 6, 7])]),
            ("input: 'a' input_shape { dim: [1, 3] }", [("a", [1, 3])]),
            ("input: 'a' input: 'b' input_shape { dim: 1 } input_shape { dim: 2 }", [("a", [1]), ("b", [2])]),
        ],
    )
    def test_of_inputs_are_layers(self, text, inputs):
        layers = upgrade.input_layers(net_of(text), "net")
        assert [(layer.name, list(layer.input_param.shape[0].dim)) for layer in layers] == inputs
        assert all(layer.type == "Input" and list(layer.top) == [layer.name] for layer in layers)

    @pytest.mark.parametrize(
        "text, got",
        [
            ("input: 'a'", "1 of input and 0 of input_shape"),
            ("input: 'a' input_dim: [1, 2, 3]", "1 of input and 3 of input_dim"),
            ("input: 'a' input_dim: [1, 2, 3, 4, 5]", "1 of input and 5 of input_dim"),
            ("input_dim: [1, 2, 3, 4]", "0 of input and 4 of input_dim"),
            ("input_shape { dim: 1 }", "0 of input and 1 of input_shape"),
            ("input: 'a' input_shape { dim: 1 } input_shape { dim: 1 }", "1 of input and 2 of input_shape"),
        ],
    )
    def test_of_inputs_that_do_not_fit_are_an_error(self, text, got):
        message = f"^net: got {got}, expected 4 of input_dim or 1 of input_shape each$"
        with pytest.raises(PrototxtError, match=message):
            upgrade.input_layers(net_of(text), "net")

    def test_of_inputs_are_of_one_kind(self):
        with pytest.raises(PrototxtError, match="^net: got both input_dim and input_shape, expected one of them$"):
            upgrade.input_layers(net_of("input: 'a' input_dim: [1, 2, 3, 4] input_shape { dim: 1 }"), "net")
