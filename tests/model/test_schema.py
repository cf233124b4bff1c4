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
