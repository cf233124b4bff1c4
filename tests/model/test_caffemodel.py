"""Caffemodels: what is read, what is refused, and what conversion makes of Yahoo's."""

import argparse
import os
import subprocess
import sys
import warnings
from pathlib import Path

import lasagne
import numpy as np
import pytest
from generated_nets import layer
from google.protobuf import text_format

from nsfw_command import convert as convert_command
from nsfw_model import caffemodel, prototxt
from nsfw_model.caffemodel import CaffemodelError, convert, inference_net, read_caffemodel
from nsfw_model.network import build_net
from nsfw_model.preprocess import CHANNEL_MEANS
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.schema import BlobProto, NetParameter
from nsfw_model.weights import load_weights

ROOT = Path(__file__).parents[2]
DEPLOY = Path(prototxt.__file__).parent / "deploy.prototxt"


def trained_net():
    """A network as Caffe's training saves it."""
    net = NetParameter(name="fine-tuned")
    data = net.layer.add(name="data", type="Data", top=["data", "label"], phase=0)
    data.include.add(phase=0)
    data.transform_param.crop_size = 8
    data.transform_param.mean_value.extend([104, 117, 123])
    conv = net.layer.add(name="conv", type="Convolution", bottom=["data"], top=["conv"], phase=0)
    conv.param.add(lr_mult=1)
    conv.convolution_param.num_output = 4
    conv.convolution_param.kernel_size.append(8)
    conv.convolution_param.weight_filler.type = "xavier"
    add_blob(conv, (4, 3, 8, 8))
    add_blob(conv, (4,))
    bn = net.layer.add(name="bn", type="BatchNorm", bottom=["conv"], top=["conv"], phase=0)
    bn.batch_norm_param.use_global_stats = False
    for shape in ((4,), (4,), (1,)):
        add_blob(bn, shape)
    net.layer.add(name="split", type="Split", bottom=["conv"], top=["conv_0", "conv_1"])
    net.layer.add(name="sum", type="Eltwise", bottom=["conv_0", "conv_1"], top=["sum"])
    fc = net.layer.add(name="fc", type="InnerProduct", bottom=["sum"], top=["fc"])
    fc.inner_product_param.num_output = 2
    add_blob(fc, (2, 4))
    add_blob(fc, (2,))
    net.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["fc", "label"], top=["loss"], loss_weight=[1])
    net.layer.add(name="accuracy", type="Accuracy", bottom=["fc", "label"], top=["accuracy"])
    return net


def net_with_two_losses():
    """As GoogLeNet in training: a second output, which is judged too."""
    net = trained_net()
    fc = net.layer.add(name="loss1/fc", type="InnerProduct", bottom=["sum"], top=["loss1/fc"])
    add_blob(fc, (2, 4))
    net.layer.add(name="loss1/loss", type="SoftmaxWithLoss", bottom=["loss1/fc", "label"], top=["loss1/loss"])
    return net


def add_blob(layer, shape):
    layer.blobs.add(data=np.arange(1, 1 + np.prod(shape))).shape.dim.extend(shape)


class Unparsed:
    """A message that is never read."""

    DESCRIPTOR = NetParameter.DESCRIPTOR


def layer_named(net, name):
    return next(layer for layer in net.layer if layer.name == name)


def net_with_split(folder, changed):
    """A prototxt of a Split of c to a and b, of which a ReLU changes one in place, and a caffemodel of the same."""
    text = (
        layer("data", "Input", "", "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")
        + layer("c", "Convolution", "data", "convolution_param { num_output: 4 kernel_size: 8 }")
        + layer("split", "Split", "c", top="a b")
        + layer("relu", "ReLU", "a" if changed == "other" else changed, top=changed)
        + layer("power", "Power", "a", "power_param { scale: -3 }")
        + layer("sum", "Eltwise", "power b c other" if changed == "other" else "power b c")
        + layer("fc", "InnerProduct", "sum", "inner_product_param { num_output: 2 }")
        + layer("prob", "Softmax", "fc")
    )
    net, random = text_format.Parse(text, NetParameter()), np.random.default_rng(1)
    for name, shape in (("c", (4, 3, 8, 8)), ("c", (4,)), ("fc", (2, 4)), ("fc", (2,))):
        values = random.normal(0, 0.05, shape).ravel()
        layer_named(net, name).blobs.add(data=values).shape.dim.extend(shape)
    (folder / "direct.prototxt").write_text(text)
    return folder / "direct.prototxt", write(folder, net)


def output(prototxt, weights, x):
    """What a network makes of a batch; `weights` are a pickle, or a caffemodel."""
    arrays = read_caffemodel(weights)[1] if weights.suffix == ".caffemodel" else load_weights(weights)
    last, _ = build_net(read_prototxt(prototxt), arrays)
    return lasagne.layers.get_output(last, x, deterministic=True).eval()


def write(folder, net):
    path = folder / "net.caffemodel"
    path.write_bytes(net if isinstance(net, bytes) else net.SerializeToString())
    return path


class TestYahoosCaffemodel:
    def test_converts_to_the_committed_files(self, yahoo_files, tmp_path):
        convert(yahoo_files[1], tmp_path / "nsfw.pkl", tmp_path / "deploy.prototxt")
        assert (tmp_path / "nsfw.pkl").read_bytes() == (ROOT / "nsfw.pkl").read_bytes()
        assert read_prototxt(tmp_path / "deploy.prototxt") == read_prototxt(DEPLOY)
        assert (tmp_path / "deploy.prototxt").read_text() == DEPLOY.read_text()

    def test_has_the_arrays_of_the_committed_file(self, yahoo_files):
        theirs, ours = read_caffemodel(yahoo_files[1])[1], load_weights(ROOT / "nsfw.pkl")
        assert [name for name, _ in theirs] == [name for name, _ in ours]
        for (_, a), (_, b) in zip(theirs, ours):
            assert all(np.array_equal(x, y) for x, y in zip(a, b)) and len(a) == len(b)


class TestConversion:
    def test_keeps_what_computes_the_output(self, tmp_path):
        convert(write(tmp_path, trained_net()), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        specs = read_prototxt(tmp_path / "net.prototxt")
        assert [(spec.name, spec.type, spec.bottoms) for spec in specs] == [
            ("data", "Input", ()),
            ("conv", "Convolution", ("data",)),
            ("bn", "BatchNorm", ("conv",)),
            ("sum", "Eltwise", ("conv", "conv")),
            ("fc", "InnerProduct", ("sum",)),
            ("prob", "Softmax", ("fc",)),
        ]
        text = (tmp_path / "net.prototxt").read_text()
        assert not any(word in text for word in ("filler", "lr_mult", "phase", "loss", "include", "blobs"))
        assert [name for name, _ in load_weights(tmp_path / "net.pkl")] == ["conv", "bn", "fc"]

    @pytest.mark.parametrize("changed", ["c", "a", "b"])
    def test_keeps_a_split_of_which_a_layer_changes_one_blob_in_place(self, changed, tmp_path):
        text, path = net_with_split(tmp_path, changed)
        x = np.random.default_rng(0).normal(0, 60, (2, 3, 8, 8)).astype(np.float32)
        convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert np.array_equal(output(tmp_path / "net.prototxt", tmp_path / "net.pkl", x), output(text, path, x))

    def test_leaves_out_a_split_of_which_nobody_changes_a_blob(self, tmp_path):
        _, path = net_with_split(tmp_path, "other")
        convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert "Split" not in [spec.type for spec in read_prototxt(tmp_path / "net.prototxt")]

    def test_of_a_split_that_it_keeps_leaves_out_what_only_training_reads(self, tmp_path):
        net = trained_net()
        relu = net.layer.add(name="relu", type="ReLU", bottom=["conv_0"], top=["conv_0"])
        net.layer.insert(4, relu)
        net.layer.pop()
        layer_named(net, "sum").bottom[:] = ["conv_0", "conv_0"]
        layer_named(net, "accuracy").bottom[0] = "conv_1"
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        tops = {spec.name: spec.tops for spec in read_prototxt(tmp_path / "net.prototxt")}
        assert tops["split"] == ("conv_0",)

    @pytest.mark.parametrize("bottoms", [[], ["conv", "conv"]])
    def test_of_a_split_of_none_or_two_is_an_error(self, bottoms, tmp_path):
        net = trained_net()
        layer_named(net, "split").bottom[:] = bottoms
        with pytest.raises(PrototxtError, match=rf"layer 'split' \(Split\): got {len(bottoms)} bottoms, expected 1"):
            convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")

    def test_takes_no_measure_for_a_data_source(self, tmp_path):
        net = trained_net()
        layer_named(net, "sum").bottom[1] = "accuracy"
        with pytest.raises(PrototxtError, match="layer 'sum' .*: bottom 'accuracy': no earlier layer makes it"):
            convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt", input_shape=(3, 8, 8))

    def test_takes_the_size_of_a_picture_from_the_crop_and_the_filters(self, tmp_path):
        convert(write(tmp_path, trained_net()), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert read_prototxt(tmp_path / "net.prototxt")[0].settings["shape"] == (1, 3, 8, 8)

    def test_takes_the_size_of_a_picture_from_memory_data(self, tmp_path):
        net = trained_net()
        layer_named(net, "data").type = "MemoryData"
        memory = layer_named(net, "data").memory_data_param
        memory.batch_size, memory.channels, memory.height, memory.width = 32, 3, 9, 10
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert read_prototxt(tmp_path / "net.prototxt")[0].settings["shape"] == (1, 3, 9, 10)

    @pytest.mark.parametrize(
        "type, text, shape",
        [
            ("DummyData", "dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } }", (3, 8, 9)),
            ("DummyData", "dummy_data_param { num: 2 channels: 3 height: 8 width: 9 }", (3, 8, 9)),
            ("ImageData", "image_data_param { new_height: 8 new_width: 9 }", (3, 8, 9)),
            ("ImageData", "image_data_param { new_height: 8 new_width: 9 is_color: false }", (1, 8, 9)),
            (
                "ImageData",
                "image_data_param { new_height: 10 new_width: 11 } transform_param { crop_size: 7 }",
                (3, 7, 7),
            ),
        ],
    )
    def test_takes_the_size_of_a_picture_from_other_data_sources(self, type, text, shape, tmp_path):
        net = NetParameter()
        source = net.layer.add(name="data", type=type, top=["data"])
        text_format.Merge(text, source)
        net.layer.add(name="prob", type="Softmax", bottom=["data"], top=["prob"])
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert read_prototxt(tmp_path / "net.prototxt")[0].settings["shape"] == (1, *shape)

    @pytest.mark.parametrize(
        "type, text",
        [
            ("DummyData", "dummy_data_param { shape { dim: 2 } }"),
            ("DummyData", "dummy_data_param { num: 2 channels: 3 height: 8 }"),
            ("ImageData", "image_data_param { new_height: 8 }"),
        ],
    )
    def test_asks_for_a_size_of_which_other_data_sources_say_a_part(self, type, text, tmp_path):
        net = NetParameter()
        source = net.layer.add(name="data", type=type, top=["data"])
        text_format.Merge(text, source)
        net.layer.add(name="prob", type="Softmax", bottom=["data"], top=["prob"])
        with pytest.raises(CaffemodelError, match=rf"layer 'data' \({type}\): does not say how large"):
            convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")

    def test_takes_no_channels_from_filters_that_are_none(self, tmp_path):
        net = trained_net()
        del layer_named(net, "conv").blobs[0]
        with pytest.raises(CaffemodelError, match="layer 'data' .*: does not say how large"):
            convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")

    @pytest.mark.parametrize("given", [("channels", "height"), ("channels", "width"), ("height", "width")])
    def test_does_not_take_a_size_of_which_memory_data_says_a_part(self, given, tmp_path):
        net = trained_net()
        data = layer_named(net, "data")
        data.type = "MemoryData"
        for name in given:
            setattr(data.memory_data_param, name, 9)
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert read_prototxt(tmp_path / "net.prototxt")[0].settings["shape"] == (1, 3, 8, 8)  # by crop and filters

    def test_asks_for_a_size_that_it_cannot_know(self, tmp_path):
        net = trained_net()
        layer_named(net, "data").ClearField("transform_param")
        path = write(tmp_path, net)
        with pytest.raises(CaffemodelError, match=r"net.caffemodel: layer 'data' .*: does not say how large"):
            convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert not (tmp_path / "net.pkl").exists()
        convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt", input_shape=(3, 8, 8))
        assert read_prototxt(tmp_path / "net.prototxt")[0].settings["shape"] == (1, 3, 8, 8)

    def test_keeps_the_rounding_of_a_pooling(self, tmp_path):
        net = trained_net()
        pool = net.layer.add(name="pool", type="Pooling", bottom=["conv"], top=["pool"]).pooling_param
        pool.kernel_size, pool.stride, pool.round_mode = 1, 2, 1
        layer_named(net, "fc").bottom[0] = "pool"
        net.layer.remove(layer_named(net, "sum"))
        net.layer.remove(layer_named(net, "split"))
        net.layer.sort(key=lambda layer: "data conv bn pool fc loss accuracy".split().index(layer.name))
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        [pool] = [spec for spec in read_prototxt(tmp_path / "net.prototxt") if spec.type == "Pooling"]
        assert pool.settings["round_mode"] == "floor"

    def test_leaves_out_layers_that_only_training_runs(self, tmp_path):
        net = trained_net()
        net.layer.add(name="noise", type="Gaussian", bottom=["fc"], top=["fc"]).include.add(phase=0)
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert "noise" not in (tmp_path / "net.prototxt").read_text()

    def test_of_a_network_that_is_not_supported_writes_nothing(self, tmp_path):
        net = trained_net()
        layer_named(net, "sum").type = "Deformable"
        with pytest.raises(PrototxtError, match="net.caffemodel: layer 'sum' .*: got an unknown layer type"):
            convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert [path.name for path in tmp_path.iterdir()] == ["net.caffemodel"]

    def test_leaves_out_weights_without_a_part_in_inference_and_says_which(self, tmp_path):
        net = trained_net()
        aside = net.layer.add(name="aside", type="InnerProduct", bottom=["sum"], top=["aside"])
        aside.include.add(phase=0)
        add_blob(aside, (2, 4))
        with pytest.warns(UserWarning, match="left out the blobs of layers without a part in inference: 'aside'$"):
            weights = convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        names = [name for name, _ in load_weights(tmp_path / "net.pkl")]
        assert names == [name for name, _ in weights] == ["conv", "bn", "fc"]

    def test_names_the_losses_of_a_network_that_has_several(self, tmp_path):
        with pytest.raises(CaffemodelError, match=r"net.caffemodel: got 2 losses \('loss', 'loss1/loss'\), .*--deploy"):
            convert(write(tmp_path, net_with_two_losses()), tmp_path / "net.pkl", tmp_path / "net.prototxt")

    def test_for_a_prototxt_that_is_there_leaves_out_what_it_does_not_have(self, tmp_path):
        deploy = tmp_path / "deploy.prototxt"
        convert(write(tmp_path, trained_net()), tmp_path / "one.pkl", deploy)
        with pytest.warns(UserWarning, match=f"left out the blobs of layers that {deploy} does not have: 'loss1/fc'$"):
            convert(write(tmp_path, net_with_two_losses()), tmp_path / "net.pkl", deploy_path=deploy)
        assert (tmp_path / "net.pkl").read_bytes() == (tmp_path / "one.pkl").read_bytes()

    def test_to_two_prototxts_at_once_is_an_error(self, tmp_path):
        path = write(tmp_path, trained_net())
        with pytest.raises(ValueError, match="got a prototxt to be written and one that is there already"):
            convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt", deploy_path=DEPLOY)

    @pytest.mark.parametrize("field", ["name", "top"])
    def test_gives_the_softmax_a_name_of_its_own(self, field, tmp_path):
        net = trained_net()
        fc = layer_named(net, "fc")
        if field == "name":
            fc.name = "prob"
        else:
            fc.top[0] = layer_named(net, "loss").bottom[0] = layer_named(net, "accuracy").bottom[0] = "prob"
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        last = read_prototxt(tmp_path / "net.prototxt")[-1]
        assert (last.name, last.type, last.bottoms) == ("prob_", "Softmax", ("fc" if field == "name" else "prob",))


class TestValuesOfPictures:
    """Layers of the network that is rendered are given what Caffe's data source gives them of a picture."""

    PICTURES = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.float32)

    def transforming(self, type="Data", **fields):
        net = trained_net()
        layer_named(net, "data").type = type
        transform = layer_named(net, "data").transform_param
        transform.ClearField("mean_value")
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(transform, name).extend(value)
            else:
                setattr(transform, name, value)
        return net

    def given_to_the_first_convolution(self, folder, net, x, **options):
        convert(write(folder, net), folder / "net.pkl", folder / "net.prototxt", **options)
        _, layers = build_net(read_prototxt(folder / "net.prototxt"), load_weights(folder / "net.pkl"))
        return lasagne.layers.get_output(layers["conv"].input_layer, x, deterministic=True).eval()

    @pytest.mark.parametrize(
        "fields, means, scale",
        [
            ({"mean_value": [103.94, 116.78, 123.68], "scale": 0.017}, [103.94, 116.78, 123.68], 0.017),
            ({"mean_value": [127.5], "scale": 1 / 127.5}, [127.5] * 3, 1 / 127.5),
            ({"mean_value": [104, 117, 123], "scale": 0.5}, [104, 117, 123], 0.5),
            ({"scale": 1 / 256}, [0, 0, 0], 1 / 256),
            ({"mean_value": [0, 117, 123]}, [0, 117, 123], 1),
        ],
    )
    @pytest.mark.parametrize("type", ["AnnotatedData", "Data", "ImageData", "WindowData"])
    def test_are_those_of_the_data_source(self, type, fields, means, scale, tmp_path):
        x = self.PICTURES - CHANNEL_MEANS
        given = self.given_to_the_first_convolution(tmp_path, self.transforming(type, **fields), x)
        expected = (self.PICTURES - np.float32(means).reshape(3, 1, 1)) * np.float32(scale)
        assert np.allclose(given, expected, rtol=1e-6, atol=1e-5)

    def test_need_no_layer_where_a_source_takes_yahoos_means(self, tmp_path):
        net = self.transforming(mean_value=[104, 117, 123])
        assert [layer.type for layer in inference_net(net, read_caffemodel(write(tmp_path, net))[1]).layer][:2] == [
            "Input",
            "Convolution",
        ]

    @pytest.mark.parametrize("type, scale", [("MemoryData", None), ("HDF5Data", None), ("DummyData", 0.5)])
    def test_of_a_source_that_a_program_fills_are_the_programs(self, type, scale, tmp_path):
        net = self.transforming(type, **({"scale": scale} if scale else {}))
        x = self.PICTURES - CHANNEL_MEANS
        assert np.array_equal(self.given_to_the_first_convolution(tmp_path, net, x, input_shape=(3, 8, 8)), x)

    def test_of_a_program_that_lets_caffe_transform_them_are_caffes(self, tmp_path):
        net = self.transforming("MemoryData", scale=0.5)
        given = self.given_to_the_first_convolution(tmp_path, net, self.PICTURES - CHANNEL_MEANS)
        assert np.array_equal(given, self.PICTURES / 2)

    def test_of_other_than_three_channels_are_0_to_255_before(self, tmp_path):
        net = self.transforming(mean_value=[100], scale=0.5)
        del layer_named(net, "conv").blobs[0]
        layer_named(net, "conv").blobs.insert(0, BlobProto(data=np.ones(4 * 64), shape={"dim": [4, 1, 8, 8]}))
        x = self.PICTURES[:, :1]
        assert np.array_equal(self.given_to_the_first_convolution(tmp_path, net, x), (x - 100) / 2)

    @pytest.mark.parametrize(
        "fields, reason, scale",
        [
            ({}, "says nothing of them", 1),
            ({"mean_file": "m.binaryproto"}, r"has them in a file that is not in a caffemodel \('m.binaryproto'\)", 1),
            ({"mean_file": "m.binaryproto", "scale": 0.5}, "has them in a file", 0.5),
        ],
    )
    @pytest.mark.parametrize("type", ["AnnotatedData", "Data", "ImageData", "WindowData"])
    def test_without_means_that_are_known_have_yahoos_and_a_warning(self, type, fields, reason, scale, tmp_path):
        net, x = self.transforming(type, **fields), self.PICTURES - CHANNEL_MEANS
        message = rf"layer 'data' \({type}\): its means are taken to be Yahoo's, for it {reason}.*; expected --means"
        with pytest.warns(UserWarning, match=message):
            given = self.given_to_the_first_convolution(tmp_path, net, x)
        assert np.array_equal(given, x * np.float32(scale))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            given = self.given_to_the_first_convolution(tmp_path, net, x, means=(1, 2, 3))
        expected = (self.PICTURES - np.float32([1, 2, 3]).reshape(3, 1, 1)) * np.float32(scale)
        assert np.allclose(given, expected, rtol=1e-6, atol=1e-5)

    @pytest.mark.parametrize(
        "means, message",
        [
            ([1, 2], r"layer 'data' \(Data\): got 2 means, expected 1, or 3, one for each channel"),
            ([1, 2, float("nan")], "got means that are not finite"),
        ],
    )
    def test_less_other_means_are_an_error(self, means, message, tmp_path):
        with pytest.raises(CaffemodelError, match=message):
            convert(
                write(tmp_path, self.transforming(mean_value=means)), tmp_path / "net.pkl", tmp_path / "net.prototxt"
            )

    def test_less_means_of_no_source_are_an_error(self):
        net = NetParameter(input=["data"], input_dim=[1, 3, 8, 8])
        net.layer.add(name="prob", type="Softmax", bottom=["data"], top=["prob"])
        with pytest.raises(CaffemodelError, match="got means of the channels, but no data source"):
            inference_net(net, [], means=(1, 2, 3))

    def test_of_billions_of_channels_cost_nothing(self, tmp_path):
        net = self.transforming("MemoryData", mean_value=[1])
        memory = layer_named(net, "data").memory_data_param
        memory.channels, memory.height, memory.width = 4_000_000_000, 1, 1
        with pytest.raises(CaffemodelError, match="got 4000000000 channels, expected 1 to 65536"):
            convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")

    def test_have_layers_of_names_that_no_other_has(self, tmp_path):
        net = self.transforming(scale=0.5)
        layer_named(net, "conv").name = "data_mean"
        layer_named(net, "bn").name = "data_scale"
        convert(write(tmp_path, net), tmp_path / "net.pkl", tmp_path / "net.prototxt")
        assert [spec.name for spec in read_prototxt(tmp_path / "net.prototxt")][:3] == [
            "data",
            "data_mean_",
            "data_scale_",
        ]


class TestReading:
    def test_dimensions_of_older_files(self, tmp_path):
        net = trained_net()
        blob = layer_named(net, "fc").blobs[0]
        blob.ClearField("shape")
        blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 4
        assert read_caffemodel(write(tmp_path, net))[1][2][1][0].shape == (1, 1, 2, 4)

    @pytest.mark.parametrize("missing", ["num", "channels", "height", "width"])
    def test_of_older_files_dimensions_without_one_is_an_error(self, missing, tmp_path):
        net = trained_net()
        blob = layer_named(net, "fc").blobs[0]
        blob.ClearField("shape")
        for name in {"num", "channels", "height", "width"} - {missing}:
            setattr(blob, name, 2)
        with pytest.raises(
            CaffemodelError, match="blob 0: got neither a shape nor all of num, channels, height, width"
        ):
            read_caffemodel(write(tmp_path, net))

    def test_unpacked_values(self, tmp_path):
        packed = trained_net().SerializeToString()
        values = np.float32([1, 2]).tobytes()
        assert packed.count(b"\x2a\x08" + values) == 1
        unpacked = b"".join(b"\x2d" + values[i : i + 4] for i in (0, 4))
        # two more bytes in the blob, and so in its layer
        net = NetParameter.FromString(packed)
        blob = layer_named(net, "fc").blobs[1].SerializeToString().replace(b"\x2a\x08" + values, unpacked)
        assert list(type(net.layer[0].blobs.add()).FromString(blob).data) == [1, 2]

    def test_values_of_training_are_ignored(self, tmp_path):
        net = trained_net()
        layer_named(net, "fc").blobs[0].diff.extend([0.5] * 8)
        assert read_caffemodel(write(tmp_path, net))[1][2][1][0][1, 3] == 8

    def change(name, index, **fields):
        def changed():
            net = trained_net()
            blob = layer_named(net, name).blobs[index]
            for field, value in fields.items():
                if field == "dim":
                    blob.shape.dim[:] = value
                elif isinstance(value, list):
                    getattr(blob, field)[:] = value
                else:
                    setattr(blob, field, value)
            return net.SerializeToString()

        return changed

    @pytest.mark.parametrize(
        "make, message",
        [
            (
                change("fc", 0, dim=[3, 4]),
                r"layer 'fc' .*: blob 0: got 8 values for shape \(3, 4\), expected 12",
            ),
            (change("fc", 0, dim=[-2, -4]), r"got shape \(-2, -4\)"),
            (change("fc", 0, dim=[0]), r"got shape \(0,\)"),
            (change("fc", 0, dim=[1 << 40, 1 << 40]), "got shape"),
            (change("fc", 0, dim=[2, 4] + [1] * 7), "expected at most 8 sizes"),
            (change("fc", 0, num=1), "got both a shape and num, channels, height, width"),
            (change("fc", 0, double_data=[1.0]), "got values of double precision, expected single precision"),
            (change("fc", 1, data=[1, float("nan")]), "blob 1: got values that are not finite"),
            (lambda: b"", "got 0 layers, expected 1 to 4096"),
            (lambda: b"\xff\xff\xff", "expected a binary NetParameter message"),
            (lambda: DEPLOY.read_bytes(), "net.caffemodel: "),
            (lambda: trained_net().SerializeToString()[:-3], "expected a binary NetParameter message"),
            (
                lambda: trained_net().SerializeToString() + b"\x4a\x01x",
                "got fields of the network that are not understood",
            ),
            # layers { layer { } }
            (lambda: b"\x12\x02\x0a\x00", r"layer '': got Caffe's V0 format \(`layers { layer"),
            (lambda: trained_net().SerializeToString() + b"\x12\x00", "got both `layer` and `layers`"),
            # layers { name: "x" <field 50>: 1 }
            (lambda: b"\x12\x06\x22\x01x\x90\x03\x01", "layer 'x' .*: got fields that are not understood"),
            # layer { name: "x" type: "Mish" <field 150>: 1 }
            (
                lambda: b"\xa2\x06\x0c\x0a\x01x\x12\x04Mish\xb0\x09\x01",
                r"net.caffemodel: layer 'x' \(Mish\): got an unknown layer type",
            ),
            (lambda: b"\xa2\x06\x03\x0a\x01\xff", "expected a binary NetParameter message"),
            # layer { name: "x" <field 150>: 1 }
            (
                lambda: b"\xa2\x06\x06\x0a\x01x\xb0\x09\x01",
                "layer 'x' .*: got fields that are not understood",
            ),
            # layer { name: "x" convolution_param { <field 19>: 1 } }: a setting that Caffe does not have
            (
                lambda: b"\xa2\x06\x09\x0a\x01x\xd2\x06\x03\x98\x01\x01",
                "layer 'x' .*: got fields that are not understood",
            ),
        ],
    )
    def test_of_what_is_not_understood_is_an_error(self, make, message, tmp_path):
        with pytest.raises(CaffemodelError, match=message):
            read_caffemodel(write(tmp_path, make()))

    def test_of_too_many_layers_is_an_error(self, tmp_path):
        with pytest.raises(CaffemodelError, match="got 4097 layers"):
            read_caffemodel(write(tmp_path, b"\xa2\x06\x00" * 4097))

    def test_of_too_many_blobs_is_an_error(self, tmp_path):
        net = trained_net()
        for _ in range(16):
            add_blob(layer_named(net, "fc"), (1,))
        with pytest.raises(CaffemodelError, match="got 18 blobs, expected at most 16"):
            read_caffemodel(write(tmp_path, net))

    @pytest.mark.parametrize("inner", [b"", b"\x3a\x00", b"\x1a\x00", b"\x32\x00", b"\x3a\x02\x3a\x00"])
    @pytest.mark.parametrize("layer", [b"\xa2\x06", b"\x12"])
    def test_of_millions_of_messages_or_texts_costs_nothing(self, inner, layer, tmp_path, monkeypatch):
        """Each takes hundreds of bytes in memory; protobuf is not given them."""
        many = inner * 10_000 if inner else b""
        data = (layer + bytes([len(many) & 127 | 128, len(many) >> 7 & 127 | 128, len(many) >> 14]) + many) * 40
        path = write(tmp_path, data if inner else (layer + b"\x00") * 1_000_000)
        monkeypatch.setattr(caffemodel, "NetParameter", Unparsed)
        with pytest.raises(CaffemodelError, match="got more than 262144 fields"):
            read_caffemodel(path)

    def test_of_as_many_fields_as_the_largest_networks_have_is_read(self, tmp_path):
        net = NetParameter()
        for index in range(4096):
            layer = net.layer.add(name=f"conv {index}", type="Convolution", bottom=["a"], top=["a"])
            layer.convolution_param.num_output = 1
            layer.convolution_param.kernel_size.extend([3, 3])
            layer.convolution_param.weight_filler.type = "msra"
            for _ in range(2):
                layer.param.add(lr_mult=1, decay_mult=0)
                add_blob(layer, (1, 1, 1, 1))
        assert len(read_caffemodel(write(tmp_path, net))[1]) == 4096

    def test_over_the_limit_is_not_even_tried(self, tmp_path):
        path = tmp_path / "net.caffemodel"
        with path.open("wb") as file:
            file.truncate(caffemodel.MAX_FILE_BYTES + 1)
        with pytest.raises(CaffemodelError, match="got 1073741825 bytes"):
            read_caffemodel(path)

    @pytest.mark.parametrize("implementation", ["upb", "python"])
    def test_finds_fields_that_are_not_understood_with_any_implementation_of_protobuf(self, implementation, tmp_path):
        # pooling_param { round_mode: FLOOR } is understood, <field 14> is not; in Python, ByteSize() is cached
        net = NetParameter()
        pool = net.layer.add(name="pool", type="Pooling", bottom=["data"], top=["pool"]).pooling_param
        pool.kernel_size, pool.round_mode = 2, 1
        understood = net.SerializeToString()
        assert understood.endswith(b"\xca\x07\x04\x10\x02\x68\x01")  # field 121: 4 bytes, 2: 2, 13: 1
        unknown = (
            understood[:1] + b"\x06" + bytes([understood[2] + 2]) + understood[3:-5] + b"\x06\x10\x02\x68\x01\x70\x01"
        )
        (tmp_path / "good.caffemodel").write_bytes(understood)
        (tmp_path / "bad.caffemodel").write_bytes(unknown)
        code = (
            "from nsfw_model.caffemodel import read_caffemodel\n"
            "print(read_caffemodel('good.caffemodel')[0].layer[0].pooling_param.round_mode)\n"
            "read_caffemodel('bad.caffemodel')\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
        command = [sys.executable, "-c", code]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
        assert result.stdout.strip() == "1"
        assert "layer 'pool' (Pooling): got fields that are not understood" in result.stderr


class TestCommand:
    def run(self, *arguments):
        parser = argparse.ArgumentParser()
        convert_command.add_parser(parser.add_subparsers())
        args = parser.parse_args(["convert", *map(str, arguments)])
        return args.run(args)

    def test_writes_both_files_and_says_so(self, tmp_path, capsys):
        pkl, text = tmp_path / "net.pkl", tmp_path / "net.prototxt"
        assert self.run(write(tmp_path, trained_net()), "-o", pkl, "--prototxt", text) == 0
        assert pkl.exists() and text.exists()
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "3 layers with 791 values"
        assert lines[1].startswith(f"{pkl}  sha256 ") and lines[2].startswith(f"{text}  sha256 ")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
    def test_a_pipe_is_not_read_again(self, tmp_path, capsys):
        pipe, text = tmp_path / "pipe", tmp_path / "net.prototxt"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert self.run(write(tmp_path, trained_net()), "-o", pipe, "--prototxt", text, "--force") == 0
            data = os.read(reader, 1 << 16)
        finally:
            os.close(reader)
        (tmp_path / "net.pkl").write_bytes(data)
        assert len(load_weights(tmp_path / "net.pkl")) == 3
        said = capsys.readouterr()
        assert said.out == ""  # which may be the pipe
        assert [line.split("  ")[0] for line in said.err.splitlines()] == ["3 layers with 791 values", str(text)]

    def test_overwrites_only_by_force(self, tmp_path, capsys):
        pkl = tmp_path / "net.pkl"
        pkl.write_text("mine")
        model = write(tmp_path, trained_net())
        assert self.run(model, "-o", pkl) == 1
        assert pkl.read_text() == "mine"
        assert f"{pkl}: exists; --force overwrites it" in capsys.readouterr().err
        assert self.run(model, "-o", pkl, "--force") == 0
        assert len(load_weights(pkl)) == 3

    def test_refuses_one_file_for_both(self, tmp_path, capsys):
        pkl, same = tmp_path / "net.pkl", f"{tmp_path}/./net.pkl"
        assert self.run(write(tmp_path, trained_net()), "-o", pkl, "--prototxt", same, "--force") == 1
        assert f"--prototxt: got {same}, expected another file than that of the weights" in capsys.readouterr().err
        assert not pkl.exists()

    @pytest.mark.parametrize("arguments", [["-o", "{}"], ["-o", "{}.pkl", "--prototxt", "{}"]])
    def test_refuses_to_overwrite_what_it_reads(self, arguments, tmp_path, capsys):
        model = Path(write(tmp_path, trained_net()))
        before = model.read_bytes()
        assert self.run(model, *(argument.format(model) for argument in arguments), "--force") == 1
        assert f"{model}: is read, too; expected another file to be written" in capsys.readouterr().err
        assert model.read_bytes() == before and os.listdir(tmp_path) == [model.name]

    def test_does_not_overwrite_the_prototxt_that_it_reads(self, tmp_path, capsys):
        deploy = tmp_path / "deploy.prototxt"
        deploy.write_bytes(DEPLOY.read_bytes())
        assert self.run(write(tmp_path, trained_net()), "-o", deploy, "--deploy", deploy, "--force") == 1
        assert f"{deploy}: is read, too" in capsys.readouterr().err
        assert deploy.read_bytes() == DEPLOY.read_bytes()

    def test_says_which_weights_it_leaves_out(self, tmp_path, capsys):
        pkl, deploy = tmp_path / "net.pkl", tmp_path / "deploy.prototxt"
        assert self.run(write(tmp_path, trained_net()), "-o", pkl, "--prototxt", deploy) == 0
        capsys.readouterr()
        assert self.run(write(tmp_path, net_with_two_losses()), "-o", pkl, "--deploy", deploy, "--force") == 0
        out, err = capsys.readouterr()
        assert err == f"open-nsfw convert: left out the blobs of layers that {deploy} does not have: 'loss1/fc'\n"
        assert out.startswith("3 layers with 791 values\n")

    def test_takes_the_means_of_a_file_that_is_not_there(self, tmp_path):
        net = trained_net()
        layer_named(net, "data").transform_param.mean_file = "mean.binaryproto"
        pkl, text = tmp_path / "net.pkl", tmp_path / "net.prototxt"
        means = ("--means", 104, 116.5, 123)
        assert self.run(write(tmp_path, net), "-o", pkl, "--prototxt", text, *means) == 0
        assert load_weights(pkl)[0][0] == "data_mean" and load_weights(pkl)[0][1][0].tolist() == [0, 0.5, 0]

    @pytest.mark.parametrize("content, message", [(None, "No such file"), (b"text", "expected a binary")])
    def test_says_what_is_wrong(self, content, message, tmp_path, capsys):
        path = tmp_path / "net.caffemodel"
        if content:
            path.write_bytes(content)
        assert self.run(path, "-o", tmp_path / "net.pkl") == 1
        assert message in capsys.readouterr().err

    def test_takes_the_size_of_a_picture(self, tmp_path):
        net = trained_net()
        layer_named(net, "data").ClearField("transform_param")
        text = tmp_path / "net.prototxt"
        arguments = ("-o", tmp_path / "net.pkl", "--prototxt", text, "--input-shape", 3, 8, 8)
        assert self.run(write(tmp_path, net), *arguments) == 0
        assert read_prototxt(text)[0].settings["shape"] == (1, 3, 8, 8)
