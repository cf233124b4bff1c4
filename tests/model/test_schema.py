"""The schema: Caffe's message classes, made at run time."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from nsfw_model import schema
from nsfw_model.schema import BlobProto, LayerParameter, NetParameter

ROOT = Path(__file__).parents[2]


def test_field_numbers_are_caffes():
    # https://github.com/BVLC/caffe, src/caffe/proto/caffe.proto: the numbers are the file format
    expected = {
        "NetParameter": {"name": 1, "layers": 2, "input": 3, "input_dim": 4, "input_shape": 8, "layer": 100},
        "BlobProto": {
            "num": 1,
            "channels": 2,
            "height": 3,
            "width": 4,
            "data": 5,
            "shape": 7,
            "double_data": 8,
        },
        "LayerParameter": {
            "name": 1,
            "type": 2,
            "bottom": 3,
            "top": 4,
            "blobs": 7,
            "include": 8,
            "exclude": 9,
            "phase": 10,
            "convolution_param": 106,
            "pooling_param": 121,
            "relu_param": 123,
            "batch_norm_param": 139,
            "scale_param": 142,
            "input_param": 143,
        },
        "ConvolutionParameter": {
            "num_output": 1,
            "bias_term": 2,
            "pad": 3,
            "kernel_size": 4,
            "group": 5,
            "stride": 6,
            "pad_h": 9,
            "pad_w": 10,
            "kernel_h": 11,
            "kernel_w": 12,
            "stride_h": 13,
            "stride_w": 14,
            "dilation": 18,
        },
        "PoolingParameter": {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "global_pooling": 12},
        "BatchNormParameter": {"use_global_stats": 1, "moving_average_fraction": 2, "eps": 3},
    }
    for name, numbers in expected.items():
        fields = schema._CLASSES[name].DESCRIPTOR.fields_by_name
        assert {field: fields[field].number for field in numbers} == numbers


#: https://github.com/BVLC/caffe, src/caffe/proto/caffe.proto: the numbers of a layer's settings, of both formats.
SETTINGS = {
    "LayerParameter": """
        transform 100 loss 101 accuracy 102 argmax 103 concat 104 contrastive_loss 105 convolution 106 data 107
        dropout 108 dummy_data 109 eltwise 110 exp 111 hdf5_data 112 hdf5_output 113 hinge_loss 114 image_data 115
        infogain_loss 116 inner_product 117 lrn 118 memory_data 119 mvn 120 pooling 121 power 122 relu 123 sigmoid 124
        softmax 125 slice 126 tanh 127 threshold 128 window_data 129 python 130 prelu 131 spp 132 reshape 133 log 134
        flatten 135 reduction 136 embed 137 tile 138 batch_norm 139 elu 140 bias 141 scale 142 input 143 crop 144
        parameter 145 recurrent 146 swish 147 clip 148
    """,
    "V1LayerParameter": """
        concat 9 convolution 10 data 11 dropout 12 hdf5_data 13 hdf5_output 14 image_data 15 infogain_loss 16
        inner_product 17 lrn 18 pooling 19 window_data 20 power 21 memory_data 22 argmax 23 eltwise 24 threshold 25
        dummy_data 26 accuracy 27 hinge_loss 29 relu 30 slice 31 mvn 34 transform 36 tanh 37 sigmoid 38 softmax 39
        contrastive_loss 40 exp 41 loss 42
    """,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_numbers_of_all_settings_are_caffes(name):
    words = SETTINGS[name].split()
    expected = {f"{word}_param": int(number) for word, number in zip(words[::2], words[1::2])}
    fields = schema._CLASSES[name].DESCRIPTOR.fields
    assert {field.name: field.number for field in fields if field.name.endswith("_param")} == expected


def test_defaults_are_caffes():
    layer = LayerParameter()
    assert layer.convolution_param.bias_term is True
    assert layer.convolution_param.group == 1
    assert layer.batch_norm_param.eps == pytest.approx(1e-5)
    assert layer.eltwise_param.operation == 1  # SUM
    assert (layer.lrn_param.local_size, layer.lrn_param.beta) == (5, 0.75)


def test_bytes_are_those_of_protobufs_wire_format():
    # field 5, packed: tag 0x2a, 8 bytes; field 7: tag 0x3a with field 1, packed: 0x0a, 1 byte, 2
    blob = BlobProto(data=[1, -2])
    blob.shape.dim.append(2)
    assert blob.SerializeToString() == bytes.fromhex("2a08 0000803f 000000c0 3a03 0a0102")


def test_messages_survive_text_and_binary_form():
    net = NetParameter(name="net")
    net.layer.add(name="fc", type="InnerProduct").inner_product_param.num_output = 2
    assert NetParameter.FromString(net.SerializeToString()) == net
    assert text_format.Parse(text_format.MessageToString(net), NetParameter()) == net


def test_a_line_that_is_not_understood_is_an_error():
    with pytest.raises(ValueError, match="not understood: '  optional int32 = 3;'"):
        schema._file_descriptor("message M {\n  optional int32 = 3;\n}")


def test_another_caffe_schema_in_the_process_does_not_matter():
    # pycaffe registers its own caffe.NetParameter in protobuf's default pool
    code = (
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "f = descriptor_pb2.FileDescriptorProto(name='caffe.proto', package='caffe')\n"
        "f.message_type.add(name='NetParameter')\n"
        "descriptor_pool.Default().Add(f) if hasattr(descriptor_pool.Default(), 'Add') else "
        "descriptor_pool.Default().AddSerializedFile(f.SerializeToString())\n"
        "from nsfw_model.schema import NetParameter\n"
        "NetParameter(name='net')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
