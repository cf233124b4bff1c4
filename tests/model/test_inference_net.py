"""What is left of a caffemodel's network for inference, and the bounds of its blobs: messages alone, no Theano."""

import re

import numpy as np
import pytest
from google.protobuf import text_format

from nsfw_model import caffemodel
from nsfw_model.caffemodel import CaffemodelError, convert, inference_net, read_caffemodel
from nsfw_model.schema import NetParameter

MEANS = "mean_value: 104 mean_value: 117 mean_value: 123"
DATA = f"layer {{ name: 'source' type: 'Data' top: 'data' top: 'label' transform_param {{ {MEANS} }} }}"
LOSS = "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'fc' bottom: 'label' top: 'loss' loss_weight: 1 }"
FC = "layer { name: 'fc' type: 'InnerProduct' bottom: 'data' top: 'fc' inner_product_param { num_output: 2 } }"


def net_of(*layers):
    return text_format.Parse("name: 'net' " + " ".join(layers), NetParameter())


def reduced(*layers, input_shape=(3, 8, 8), **options):
    return inference_net(net_of(*layers), [], input_shape, **options)


def named(net):
    return [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in net.layer]


def one_blob(text):
    return net_of("layer { name: 'fc' type: 'InnerProduct' blobs { " + text + " } }")


def read(tmp_path, net):
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    return read_caffemodel(tmp_path / "net.caffemodel")


class TestReduced:
    def test_input_and_softmax_take_the_places_of_data_and_loss(self):
        net = reduced(DATA, FC, LOSS)
        assert net.name == "net" and named(net) == [
            ("data", "Input", [], ["data"]),
            ("fc", "InnerProduct", ["data"], ["fc"]),
            ("prob", "Softmax", ["fc"], ["prob"]),
        ]
        assert list(net.layer[0].input_param.shape[0].dim) == [1, 3, 8, 8]

    @pytest.mark.parametrize("phase, there", [("TRAIN", False), ("TEST", True)])
    def test_layers_of_training_go(self, phase, there):
        only = f"layer {{ name: 'r' type: 'ReLU' bottom: 'fc' top: 'fc' include {{ phase: {phase} }} phase: TRAIN }}"
        net = reduced(DATA, FC, only, LOSS)
        assert ("r" in [layer.name for layer in net.layer]) is there
        assert not any(layer.include or layer.HasField("phase") for layer in net.layer)

    def test_measures_and_sources_of_labels_go(self):
        measure = "layer { name: 'm' type: 'Accuracy' bottom: 'fc' bottom: 'label' top: 'm' }"
        silence = "layer { name: 's' type: 'Silence' bottom: 'label' }"
        labels = "layer { name: 'l' type: 'HDF5Data' top: 'label' }"
        assert named(reduced(DATA, labels, FC, measure, silence, LOSS)) == named(reduced(DATA, FC, LOSS))

    def test_what_training_uses_goes_and_statistics_are_those_that_are_stored(self):
        settings = "use_global_stats: false moving_average_fraction: 0.5 eps: 0.5"
        text = "layer { name: 'bn' type: 'BatchNorm' bottom: 'fc' top: 'fc' param { lr_mult: 0 } "
        text += f"batch_norm_param {{ {settings} }} }}"
        bn = reduced(DATA, FC, text, LOSS).layer[2]
        assert bn.batch_norm_param.use_global_stats and bn.batch_norm_param.eps == 0.5
        assert not bn.batch_norm_param.HasField("moving_average_fraction") and not bn.param

    def test_a_split_is_read_from_where_it_read(self):
        split = "layer { name: 's' type: 'Split' bottom: 'fc' top: 'a' top: 'b' }"
        again = "layer { name: 't' type: 'Split' bottom: 'a' top: 'c' top: 'd' }"
        total = "layer { name: 'sum' type: 'Eltwise' bottom: 'b' bottom: 'c' bottom: 'd' top: 'sum' }"
        net = reduced(DATA, FC, split, again, total)
        assert named(net)[2:] == [("sum", "Eltwise", ["fc", "fc", "fc"], ["sum"])]

    def test_a_split_of_a_source_is_read_from_it(self):
        split = "layer { name: 's' type: 'Split' bottom: 'data' top: 'a' top: 'b' }"
        total = "layer { name: 'sum' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'sum' }"
        assert named(reduced(DATA, split, total)) == [
            ("data", "Input", [], ["data"]),
            ("sum", "Eltwise", ["data", "data"], ["sum"]),
        ]

    @pytest.mark.parametrize("changed", ["fc", "a", "b"])
    def test_a_split_is_kept_where_a_blob_is_changed_in_place_behind_it(self, changed):
        split = "layer { name: 's' type: 'Split' bottom: 'fc' top: 'a' top: 'b' }"
        relu = f"layer {{ name: 'r' type: 'ReLU' bottom: '{changed}' top: '{changed}' }}"
        total = "layer { name: 'sum' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'sum' }"
        assert ("s", "Split", ["fc"], ["a", "b"]) in named(reduced(DATA, FC, split, relu, total))
        before = reduced(DATA, FC, relu.replace(f"'{changed}'", "'fc'"), split, total)
        assert "Split" not in [layer.type for layer in before.layer]

    def test_of_a_split_that_is_kept_those_that_are_read_are(self):
        split = "layer { name: 's' type: 'Split' bottom: 'fc' top: 'a' top: 'b' top: 'c' }"
        relu = "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'a' }"
        total = "layer { name: 'sum' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'sum' }"
        assert ("s", "Split", ["fc"], ["a", "b"]) in named(reduced(DATA, FC, split, relu, total))

    @pytest.mark.parametrize("taken, name", [("fc", "prob"), ("prob", "prob_"), ("loss", "prob")])
    def test_a_softmax_has_a_name_of_its_own(self, taken, name):
        layers = [
            FC.replace("'fc'", f"'{taken}'"),
            LOSS.replace("'fc'", f"'{taken}'").replace("top: 'loss'", "top: 'l'"),
        ]
        assert named(reduced(DATA, *layers))[-1] == (name, "Softmax", [taken], [name])

    def test_several_losses_are_an_error(self):
        other = LOSS.replace("'loss'", "'other'")
        message = (
            "got 2 losses ('loss', 'other'), and so as many outputs, expected 1; with a prototxt of what computes one "
            "of them (--deploy), its weights can be converted"
        )
        with pytest.raises(CaffemodelError, match=f"^{re.escape(message)}$"):
            reduced(DATA, FC, LOSS, other)

    def test_inputs_of_older_files_stay_or_ask_for_their_size(self):
        old = ["input: 'data' input_dim: [1, 3, 8, 8]", FC]
        assert list(reduced(*old, input_shape=None).input) == ["data"] and len(reduced(*old).layer) == 1
        shaped = ["input: 'data' input_shape { dim: [1, 3, 8, 8] }", FC]
        assert list(reduced(*shaped, input_shape=None).input_shape[0].dim) == [1, 3, 8, 8]
        net = reduced("input: 'data'", FC)
        assert list(net.input) == [] and named(net)[0] == ("data", "Input", [], ["data"])

    def test_values_of_the_source_are_made_behind_the_input(self):
        net = reduced(DATA.replace("mean_value: 104", "mean_value: 100 scale: 0.5"), FC, LOSS)
        assert [(layer.name, layer.type) for layer in net.layer][:3] == [
            ("data", "Input"), ("data_mean", "Bias"), ("data_scale", "Power"),
        ]  # fmt: skip
        net = reduced(DATA, FC.replace("'fc'", "'data_mean'"), LOSS.replace("'fc'", "'data_mean'"), means=[1, 2, 3])
        assert named(net)[1][:2] == ("data_mean_", "Bias")

    def test_means_of_no_source_are_an_error(self):
        with pytest.raises(
            CaffemodelError, match="^got means of the channels, but no data source to which they belong$"
        ):
            reduced("input: 'data' input_dim: [1, 3, 8, 8]", FC, means=[1])


class TestBlobs:
    def test_have_their_shape_from_either_field(self, tmp_path):
        _, weights = read(tmp_path, one_blob("shape { dim: 2 dim: 1 dim: 3 } data: [1, 2, 3, 4, 5, 6]"))
        assert weights[0][0] == "fc" and weights[0][1][0].tolist() == [[[1, 2, 3]], [[4, 5, 6]]]
        assert weights[0][1][0].dtype == np.float32
        _, weights = read(tmp_path, one_blob("num: 1 channels: 1 height: 2 width: 3 data: [1, 2, 3, 4, 5, 6]"))
        assert weights[0][1][0].tolist() == [[[[1, 2, 3], [4, 5, 6]]]]

    @pytest.mark.parametrize(
        "text, message",
        [
            ("shape { dim: 2 } data: 1", "got 1 values for shape (2,), expected 2"),
            ("shape { dim: 2 } data: [1, 2, 3]", "got 3 values for shape (2,), expected 2"),
            ("shape { dim: 1 } data: inf", "got values that are not finite"),
            ("shape { dim: 1 } double_data: 1", "got values of double precision, expected single precision"),
            ("shape { dim: 1 } width: 1 data: 1", "got both a shape and num, channels, height, width"),
            ("data: 1", "got neither a shape nor all of num, channels, height, width"),
            ("num: 1 channels: 1 height: 1 data: 1", "got neither a shape nor all of num, channels, height, width"),
            ("shape { dim: 0 }", "got shape (0,), expected at most 8 sizes, all above 0"),
            ("shape { dim: -1 } data: 1", "got shape (-1,), expected at most 8 sizes, all above 0"),
            ("shape { dim: 1073741825 }", "got shape (1073741825,), expected at most 8 sizes, all above 0"),
            ("shape { dim: 1073741824 }", "got 0 values for shape (1073741824,), expected 1073741824"),
            (
                "shape { dim: [1, 1, 1, 1, 1, 1, 1, 1, 1] } data: 1",
                "got shape (1, 1, 1, 1, 1, 1, 1, 1, 1), expected at most 8 sizes, all above 0",
            ),
        ],
    )
    def test_that_contradict_themselves_are_an_error(self, text, message, tmp_path):
        whole = f"{tmp_path}/net.caffemodel: layer 'fc' (InnerProduct): blob 0: {message}"
        with pytest.raises(CaffemodelError, match=f"^{re.escape(whole)}$"):
            read(tmp_path, one_blob(text))

    def test_may_have_eight_sizes_and_a_layer_sixteen_of_them(self, tmp_path):
        blob = "blobs { shape { dim: [1, 1, 1, 1, 1, 1, 1, 1] } data: 5 }"
        _, weights = read(tmp_path, net_of("layer { name: 'a' type: 'Scale' " + blob * 16 + " }"))
        assert [array.shape for array in weights[0][1]] == [(1,) * 8] * 16
        with pytest.raises(CaffemodelError, match=r"layer 'a' \(Scale\): got 17 blobs, expected at most 16$"):
            read(tmp_path, net_of("layer { name: 'a' type: 'Scale' " + blob * 17 + " }"))

    def test_are_taken_out_of_the_network(self, tmp_path):
        net, weights = read(tmp_path, one_blob("shape { dim: 1 } data: 1 diff: 2"))
        assert not net.layer[0].blobs and len(weights) == 1
        _, weights = read(tmp_path, net_of(FC))
        assert weights == []


class TestBounds:
    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_layers_are_at_most_as_many_as_the_limit(self, layers, tmp_path, monkeypatch):
        monkeypatch.setattr(caffemodel, "MAX_LAYERS", 2)
        if layers < 3:
            assert len(read(tmp_path, net_of(*[FC] * layers))[0].layer) == layers
        else:
            with pytest.raises(CaffemodelError, match="net.caffemodel: got 3 layers, expected 1 to 2$"):
                read(tmp_path, net_of(*[FC] * layers))

    def test_bytes_are_at_most_as_many_as_the_limit(self, tmp_path, monkeypatch):
        size = len(net_of(FC).SerializeToString())
        monkeypatch.setattr(caffemodel, "MAX_FILE_BYTES", size)
        read(tmp_path, net_of(FC))
        monkeypatch.setattr(caffemodel, "MAX_FILE_BYTES", size - 1)
        with pytest.raises(CaffemodelError, match=f"got {size} bytes, expected at most {size - 1}$"):
            read(tmp_path, net_of(FC))

    def test_fields_are_at_most_as_many_as_the_limit(self, tmp_path, monkeypatch):
        fields = 1 + 1 + 4 + 1 + 1  # the name; a layer; its name, type, bottom and top; its settings, and one in them
        monkeypatch.setattr(caffemodel, "MAX_FIELDS", fields)
        read(tmp_path, net_of(FC))
        monkeypatch.setattr(caffemodel, "MAX_FIELDS", fields - 1)
        with pytest.raises(CaffemodelError, match=f"got more than {fields - 1} fields"):
            read(tmp_path, net_of(FC))


class TestConversion:
    def converted(self, tmp_path, *layers, name="net.caffemodel", **options):
        (tmp_path / name).write_bytes(net_of(*layers).SerializeToString())
        return convert(tmp_path / name, tmp_path / "net.pkl", tmp_path / "net.prototxt", (3, 8, 8), **options)

    def test_a_prototxt_says_what_it_was_made_of(self, tmp_path):
        self.converted(tmp_path, DATA, FC, LOSS, name="a\nb \u00e9'.caffemodel")
        first, second, *_ = (tmp_path / "net.prototxt").read_text().splitlines()
        assert first == r"# Rendered by `open-nsfw convert` from a\nb \xe9'.caffemodel"
        assert second == 'name: "net"'

    def test_errors_name_the_file(self, tmp_path):
        with pytest.raises(CaffemodelError, match=f"^{tmp_path}/net.caffemodel: got 2 losses "):
            self.converted(tmp_path, DATA, FC, LOSS, LOSS.replace("'loss'", "'other'"))
        assert [path.name for path in tmp_path.iterdir()] == ["net.caffemodel"]

    def test_a_prototxt_is_written_or_read(self, tmp_path):
        message = "^got a prototxt to be written and one that is there already, expected one of them$"
        with pytest.raises(ValueError, match=message):
            convert("a", "b", "c", deploy_path="d")
