"""Files of older formats: read as Caffe's upgrade_proto.cpp upgrades them."""

import numpy as np
import pytest
from generated_nets import opencv_activations, our_activations, relative_difference

from nsfw_model.caffemodel import CaffemodelError, convert, read_caffemodel
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.schema import NetParameter
from nsfw_model.upgrade import upgrade_v1_layers

# As Caffe's first public nets were written (bvlc_alexnet, VGG)
V1 = """
name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12
layers {
  name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }
}
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.5 } }
layers {
  name: "pool" type: POOLING bottom: "norm" top: "pool" pooling_param { pool: MAX kernel_size: 3 stride: 2 }
}
layers { name: "slice" type: SLICE bottom: "pool" top: "a" top: "b" slice_param { slice_dim: 1 } }
layers { name: "tanh" type: TANH bottom: "a" top: "a" }
layers { name: "cat" type: CONCAT bottom: "b" bottom: "a" top: "cat" concat_param { concat_dim: 1 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "cat" top: "fc" inner_product_param { num_output: 2 } }
layers { name: "drop" type: DROPOUT bottom: "fc" top: "fc" }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" include { phase: TEST } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc" top: "loss" include { phase: TRAIN } }
"""

# The same net by hand
V2 = """
name: "old"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.5 } }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "slice" type: "Slice" bottom: "pool" top: "a" top: "b" }
layer { name: "tanh" type: "TanH" bottom: "a" top: "a" }
layer { name: "cat" type: "Concat" bottom: "b" bottom: "a" top: "cat" }
layer { name: "fc" type: "InnerProduct" bottom: "cat" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def read(tmp_path, text):
    (tmp_path / "net.prototxt").write_text(text)
    return read_prototxt(tmp_path / "net.prototxt")


def v1_caffemodel(tmp_path):
    """A V1 network as training saved it, with a data source that carries its transformation itself."""
    net = NetParameter(name="old")
    source = net.layers.add(name="data", type="DATA", top=["data", "label"])
    source.data_param.crop_size, source.data_param.mirror = 12, True
    source.transform_param.mean_value.extend([104, 117, 123])
    random = np.random.default_rng(0)

    def add(name, type, bottoms, tops, *shapes, **fields):
        layer = net.layers.add(name=name, type=type, bottom=bottoms.split(), top=tops.split(), **fields)
        for shape in shapes:
            blob = layer.blobs.add(data=random.normal(0, 0.5, shape).ravel())
            sizes = [1] * (4 - len(shape)) + list(shape)
            blob.num, blob.channels, blob.height, blob.width = sizes
        return layer

    conv = add("conv", "CONVOLUTION", "data", "conv", (4, 3, 3, 3), (4,), blobs_lr=[1, 2], weight_decay=[1, 0])
    conv.convolution_param.num_output = 4
    conv.convolution_param.kernel_size.append(3)
    add("relu", "RELU", "conv", "conv")
    norm = add("norm", "LRN", "conv", "norm")
    norm.lrn_param.local_size, norm.lrn_param.alpha = 3, 0.5
    pool = add("pool", "POOLING", "norm", "pool")
    pool.pooling_param.kernel_size, pool.pooling_param.stride = 3, 2
    add("slice", "SLICE", "pool", "a b").slice_param.slice_dim = 1
    add("tanh", "TANH", "a", "a")
    add("cat", "CONCAT", "b a", "cat")
    add("fc", "INNER_PRODUCT", "cat", "fc", (2, 100), (2,)).inner_product_param.num_output = 2
    add("drop", "DROPOUT", "fc", "fc")
    add("prob", "SOFTMAX_LOSS", "fc label", "loss", loss_weight=[1])
    path = tmp_path / "old.caffemodel"
    path.write_bytes(net.SerializeToString())
    return path


def test_a_v1_prototxt_is_the_network_that_it_would_be_today(tmp_path):
    assert read(tmp_path, V1) == read(tmp_path, V2)


def test_a_v1_caffemodel_converts_to_the_network_that_it_would_be_today(tmp_path):
    convert(v1_caffemodel(tmp_path), tmp_path / "net.pkl", tmp_path / "converted.prototxt")
    assert read_prototxt(tmp_path / "converted.prototxt") == read(tmp_path, V2)
    assert "layers" not in (tmp_path / "converted.prototxt").read_text()


def test_activations_of_v1_files_are_those_of_opencvs_caffe_importer(tmp_path):
    prototxt, caffemodel = tmp_path / "old.prototxt", v1_caffemodel(tmp_path)
    prototxt.write_text(V1[: V1.index('layers { name: "loss"')])  # OpenCV looks at no phase
    x = np.random.default_rng(1).normal(0, 1, (2, 3, 12, 12)).astype("float32")
    ours, theirs = our_activations(prototxt, caffemodel, x), opencv_activations(prototxt, caffemodel, x)
    assert {"conv", "norm", "pool", "tanh", "cat", "fc", "prob"} <= set(theirs)
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape
        assert relative_difference(ours[name], expected) < 1e-6


def test_weights_are_not_lost_by_the_upgrade(tmp_path):
    net, weights = read_caffemodel(v1_caffemodel(tmp_path))
    assert [(name, [blob.shape for blob in blobs]) for name, blobs in weights] == [
        ("conv", [(4, 3, 3, 3), (1, 1, 1, 4)]),
        ("fc", [(1, 1, 2, 100), (1, 1, 1, 2)]),
    ]
    assert not net.layers and not any(layer.blobs for layer in net.layer)


def test_learning_rates_weight_decays_and_shared_names_become_one_param_for_each_blob(tmp_path):
    net = NetParameter()
    net.layers.add(
        name="conv", type="CONVOLUTION", param=["w"], blobs_lr=[1, 2], weight_decay=[1, 0], blob_share_mode=[1]
    )
    upgrade_v1_layers(net, "net.prototxt")
    assert [(spec.name, spec.lr_mult, spec.decay_mult, spec.share_mode) for spec in net.layer[0].param] == [
        ("w", 1, 1, 1),
        ("", 2, 0, 0),
    ]


def test_transformations_of_a_data_source_move_to_its_transform_param(tmp_path):
    net = NetParameter()
    source = net.layers.add(name="data", type="IMAGE_DATA").image_data_param
    source.scale, source.mean_file, source.crop_size, source.mirror, source.batch_size = 0.5, "mean", 227, True, 8
    upgrade_v1_layers(net, "net.prototxt")
    layer = net.layer[0]
    transform = layer.transform_param
    assert (transform.scale, transform.mean_file, transform.crop_size, transform.mirror) == (0.5, "mean", 227, True)
    assert [field.name for field, _ in layer.image_data_param.ListFields()] == ["batch_size"]


def test_errors_in_v1_layers_name_file_line_and_layer(tmp_path):
    text = V1.replace("num_output: 4", "num_output: 0")
    with pytest.raises(PrototxtError, match=r"net.prototxt:4: layer 'conv' \(Convolution\): num_output: got 0"):
        read(tmp_path, text)
    with pytest.raises(PrototxtError, match=r"net.prototxt:\d+: layer 'conv': .*numoutput"):
        read(tmp_path, V1.replace("num_output: 4", "numoutput: 4"))


def test_shared_blobs_of_v1_layers_are_refused(tmp_path):
    text = V1.replace('top: "conv"\n', 'top: "conv" param: "w"\n').replace(
        'top: "fc" inner', 'top: "fc" param: "w" inner'
    )
    with pytest.raises(PrototxtError, match="layer 'fc' .*: param name 'w': got a blob shared with layer 'conv'"):
        read(tmp_path, text)


def test_a_caffemodel_that_names_its_input_only_asks_for_the_size_of_a_picture(tmp_path):
    net = NetParameter(name="old", input=["data"])
    net.layers.add(name="prob", type="SOFTMAX", bottom=["data"], top=["prob"])
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    with pytest.raises(CaffemodelError, match="layer 'data' .*: does not say how large a picture is"):
        convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt")
    convert(path, tmp_path / "net.pkl", tmp_path / "net.prototxt", input_shape=(3, 8, 8))
    assert read_prototxt(tmp_path / "net.prototxt")[0].settings == {"shape": (1, 3, 8, 8)}


# As Caffe's very first nets were written
V0 = """
name: "first"
input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12
layers {
  layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 weight_filler { type: "gaussian" } blobs_lr: 1. }
  bottom: "data" top: "conv"
}
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
"""


def test_a_v0_prototxt_is_refused_by_the_name_of_its_format(tmp_path):
    with pytest.raises(
        PrototxtError, match=r"net.prototxt:5: layer '': got Caffe's V0 format .* upgrade_net_proto_text"
    ):
        read(tmp_path, V0)


def test_a_v0_caffemodel_is_refused_by_the_name_of_its_format(tmp_path):
    # layers { layer { name: "conv" type: "conv" <num_output 3>: 96 <blobs 50> { <data 5>: 1.0 } } top: "conv" }
    blob = b"\x92\x03\x06\x2a\x04\x00\x00\x80\x3f"
    layer = b"\x0a\x04conv\x12\x04conv\x18\x60" + blob
    connection = b"\x0a" + bytes([len(layer)]) + layer + b"\x1a\x04conv"
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"\x12" + bytes([len(connection)]) + connection)
    with pytest.raises(
        CaffemodelError, match=r"net.caffemodel: layer 'conv': got Caffe's V0 format .*upgrade_net_proto"
    ):
        read_caffemodel(path)
