"""Layer types: all tables that are derived from their records agree, and what is missing is named."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import lasagne
import numpy as np
import pytest
from generated_nets import FORMULAS, NETS, layer, write

from nsfw_model import schema
from nsfw_model.caffemodel import read_caffemodel
from nsfw_model.layer_types import LAYER_TYPES, all_settings, record
from nsfw_model.layers.building import BUILDERS
from nsfw_model.network import build_net
from nsfw_model.prototxt import PrototxtError, read_prototxt
from nsfw_model.schema import LayerParameter, V1LayerParameter
from nsfw_model.upgrade import v1_type_name
from nsfw_model.weights import WeightsError
from theano_cpu.lowering import current_value, lower

ROOT = Path(__file__).parents[2]
INFERENCE = sorted(name for name, layer_type in LAYER_TYPES.items() if layer_type.read is not None)
DATA = layer("data", "Input", "", "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")


def nets_with(layer_type):
    """Names of the generated nets in which there is a layer of a type."""
    return [name for name, (text, *_) in {**NETS, **FORMULAS}.items() if f'type: "{layer_type}"' in text]


class TestTables:
    def test_each_layer_type_is_read_or_trains_or_is_refused_for_a_reason(self):
        for name, layer_type in LAYER_TYPES.items():
            assert [layer_type.read is not None, layer_type.training, bool(layer_type.refused)].count(True) == 1, name

    def test_each_layer_type_that_is_read_has_a_builder_and_no_other_has(self):
        assert sorted(BUILDERS) == INFERENCE

    def test_each_layer_type_that_is_read_is_compared_with_another_implementation(self):
        assert [name for name in INFERENCE if not nets_with(name)] == ["Input"]

    def test_each_field_with_settings_belongs_to_a_layer_type(self):
        fields = [field.name for field in LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
        assert sorted(fields) == sorted(["loss_param", "transform_param", *(each.field for each in all_settings())])

    def test_each_type_of_the_v1_format_has_a_name_of_today(self):
        numbers = V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_number
        assert {v1_type_name(V1LayerParameter(type=number)) for number in numbers if number} <= set(LAYER_TYPES)
        assert len(numbers) == 1 + sum(layer_type.v1 is not None for layer_type in LAYER_TYPES.values()) == 40

    def test_numbers_of_types_of_the_v1_format_are_caffes(self):
        """https://github.com/BVLC/caffe, src/caffe/proto/caffe.proto: V1LayerParameter.LayerType, in its order."""
        expected = """ABSVAL 35 ACCURACY 1 ARGMAX 30 BNLL 2 CONCAT 3 CONTRASTIVE_LOSS 37 CONVOLUTION 4 DATA 5
            DECONVOLUTION 39 DROPOUT 6 DUMMY_DATA 32 EUCLIDEAN_LOSS 7 ELTWISE 25 EXP 38 FLATTEN 8 HDF5_DATA 9
            HDF5_OUTPUT 10 HINGE_LOSS 28 IM2COL 11 IMAGE_DATA 12 INFOGAIN_LOSS 13 INNER_PRODUCT 14 LRN 15 MEMORY_DATA 29
            MULTINOMIAL_LOGISTIC_LOSS 16 MVN 34 POOLING 17 POWER 26 RELU 18 SIGMOID 19 SIGMOID_CROSS_ENTROPY_LOSS 27
            SILENCE 36 SOFTMAX 20 SOFTMAX_LOSS 21 SPLIT 22 SLICE 33 TANH 23 WINDOW_DATA 24 THRESHOLD 31"""
        words = expected.split()
        numbers = V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
        assert {name: value.number for name, value in numbers.items() if value.number} == dict(
            zip(words[::2], map(int, words[1::2]))
        )

    def test_in_place_only_where_a_blob_keeps_its_shape(self):
        assert not any(
            layer_type.in_place and (layer_type.bottoms[0] < 1 or layer_type.tops != record.ONE)
            for layer_type in LAYER_TYPES.values()
        )

    def test_in_place_is_what_may_be_so_in_caffe(self):
        """Neuron layers but AbsVal (see absval_layer.cpp), and layers that read before they write."""
        neurons = "BNLL Clip Dropout ELU Exp Log PReLU Power ReLU Sigmoid Swish TanH Threshold"
        expected = {*neurons.split(), "BatchNorm", "Bias", "Eltwise", "Scale", "Softmax"}
        assert {name for name, layer_type in LAYER_TYPES.items() if layer_type.in_place} == expected

    def test_numbers_of_bottoms_are_caffes(self):
        """ExactNumBottomBlobs and MinBottomBlobs of its layers; all others that compute take one."""
        several = {"Concat": (1, None), "Crop": (2, 2), "Eltwise": (2, None), "Input": (0, 0)}
        for name in INFERENCE:
            assert LAYER_TYPES[name].bottoms == several.get(name, (1, 1)), name

    @pytest.mark.parametrize("layer_type", [name for name in INFERENCE if name != "Input"])
    def test_a_builder_says_truly_whether_its_layers_are_lowered(self, layer_type, tmp_path):
        lowered = []
        for name in nets_with(layer_type):
            specs = read_prototxt(write(name, tmp_path)[0])
            _, net = build_net(specs, read_caffemodel(tmp_path / "net.caffemodel")[1])
            lowered += [
                lower(net[spec.name], current_value) is not None
                for spec in specs
                if spec.type == layer_type and spec.name in net
            ]
        assert any(lowered) == BUILDERS[layer_type].lowered


class TestSchema:
    # https://github.com/BVLC/caffe at 9b89154, src/caffe/proto/caffe.proto: all fields of these messages, sorted
    # lines "message field type number", of scalar types protobuf's number; ceil_mode is of forks
    FIELDS_OF_CAFFE = "7e6784bd869f96f4"

    def test_has_every_field_of_caffes_layers(self):
        lines = []
        for name in ["BlobProto", "LayerParameter", "V1LayerParameter", *(each.message for each in all_settings())]:
            for field in schema._CLASSES[name].DESCRIPTOR.fields:
                type_name = (field.message_type or field.enum_type).name if field.type in (11, 14) else field.type
                if field.name != "ceil_mode":
                    lines.append(f"{name} {field.name} {type_name} {field.number}")
        assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] == self.FIELDS_OF_CAFFE

    def test_knows_which_fields_only_training_uses(self):
        assert schema.TRAINING_FIELDS["ConvolutionParameter"] == {
            "weight_filler",
            "bias_filler",
            "engine",
            "force_nd_im2col",
        }
        assert schema.TRAINING_FIELDS["PowerParameter"] == set()


class TestErrors:
    def read(self, tmp_path, text):
        (tmp_path / "net.prototxt").write_text(DATA + text)
        return read_prototxt(tmp_path / "net.prototxt")

    def test_a_type_without_a_builder_is_named(self, tmp_path, monkeypatch):
        specs = self.read(tmp_path, layer("abs", "AbsVal", "data"))
        monkeypatch.delitem(BUILDERS, "AbsVal")
        with pytest.raises(PrototxtError, match=r":2: layer 'abs' \(AbsVal\): got a layer type that has no builder"):
            build_net(specs, [])

    @pytest.mark.parametrize("layer_type", INFERENCE)
    def test_a_blob_more_than_a_layer_takes_is_named(self, layer_type, tmp_path):
        name, *_ = nets_with(layer_type) or NETS  # an Input is in each
        prototxt, caffemodel = write(name, tmp_path)
        specs, weights = read_prototxt(prototxt), dict(read_caffemodel(caffemodel)[1])
        spec = next(spec for spec in specs if spec.type == layer_type)
        weights[spec.name] = [*weights.get(spec.name, []), np.ones(1, "float32")]
        got = len(weights[spec.name])
        message = rf"layer '{spec.name}' \({layer_type}\): weights: got {got} blobs, expected {got - 1 or 'none'}"
        with pytest.raises(WeightsError, match=message):
            build_net(specs, list(weights.items()))

    def test_two_records_of_one_type_are_named(self, tmp_path):
        code = (
            "from nsfw_model.layer_types import dropout, record\n"
            "dropout.TYPES *= 2\n"
            "import nsfw_model.layer_types as types\n"
            "types._found()\n"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert "layer type 'Dropout': got two records, expected one" in result.stderr

    def test_settings_that_are_no_message_are_named(self):
        with pytest.raises(ValueError, match="mish_param: got 0 messages, expected 1"):
            _ = record.Settings("mish_param", 999, "optional float x = 1;").message

    @pytest.mark.parametrize(
        "type, message",
        [
            ("Python", r"layer 'it' \(Python\): got a layer type that is not supported: what it computes is a program"),
            ("SPP", "got a layer type that is not supported: no classifier"),
            ("SoftmaxWithLoss", "in inference, a Softmax takes its place"),
            ("Accuracy", "got a layer that feeds or judges a network in training"),
            ("Mish", "got an unknown layer type, expected one of AbsVal, "),
        ],
    )
    def test_a_type_that_has_no_part_in_inference_is_named(self, type, message, tmp_path):
        with pytest.raises(PrototxtError, match=message):
            self.read(tmp_path, layer("it", type, "data"))

    @pytest.mark.parametrize(
        "type, settings, message",
        [
            ("Clip", "clip_param { min: 0 }", "expected both min and max"),
            ("Clip", "clip_param { min: 2 max: 1 }", "min, max: got 2.0, 1.0"),
            ("Convolution", "convolution_param { num_output: 0 kernel_size: 3 }", "num_output: got 0, expected 1 to"),
            ("Convolution", "convolution_param { num_output: 4 kernel_size: 0 }", "kernel: got 0, expected 1 to"),
            (
                "Convolution",
                "convolution_param { num_output: 4 kernel_size: 3 group: 0 }",
                "group: got 0, expected 1 to",
            ),
            ("Crop", "", "got 1 bottoms, expected 2"),
            ("Deconvolution", "convolution_param { num_output: 4 }", "kernel: got none"),
            ("ELU", "elu_param { alpha: inf }", "alpha: got inf, expected a finite number"),
            ("Exp", "exp_param { base: 0 }", "base: got 0.0, expected a number above 0, or -1 for e"),
            ("Flatten", "flatten_param { axis: 0 }", "axis: got 0, expected another: batches are not flattened"),
            ("InnerProduct", "inner_product_param { num_output: 0 }", "num_output: got 0, expected 1 to"),
            ("LRN", "lrn_param { local_size: 0 }", "local_size: got 0, expected 1 to"),
            ("Log", "log_param { base: 1 }", "base: got 1.0, which has no logarithms"),
            ("MVN", "mvn_param { eps: 0 }", "eps: got 0.0, expected a number above 0"),
            ("Pooling", "pooling_param { kernel_size: 2 round_mode: CEIL ceil_mode: true }", "got both round_mode and"),
            ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", "expected at most one -1"),
            ("Reshape", "reshape_param { shape { dim: -2 } }", "shape: got -2, expected -1 to 65536"),
            ("Reshape", "reshape_param { num_axes: -2 }", "num_axes: got -2, expected -1 or more"),
            ("Slice", "slice_param { slice_point: 1 }", "slice_point: got 1, expected 0, one less than tops"),
            ("Slice", "slice_param { axis: 0 }", "axis: got 0, expected another: batches are not cut"),
            ("Slice", "slice_param { axis: 1 slice_dim: 1 }", "got both axis and slice_dim"),
        ],
    )
    def test_settings_that_make_no_sense_are_errors(self, type, settings, message, tmp_path):
        with pytest.raises(PrototxtError, match=rf":2: layer 'it' \({type}\): .*{re.escape(message)}"):
            self.read(tmp_path, layer("it", type, "data", settings))

    @pytest.mark.parametrize(
        "text, message",
        [
            (layer("s", "Slice", "data", top="a b") + layer("c", "Concat", "a b"), "expected a divisor of the size 3"),
            (
                layer("s", "Slice", "data", "slice_param { slice_point: 3 }", top="a b") + layer("c", "Concat", "a b"),
                r"slice_point: got \(3,\), expected numbers below the size 3 of axis 1",
            ),
            (layer("r", "Reshape", "data", "reshape_param { shape { dim: 7 dim: -1 } }"), "keeps the batch as the"),
            (layer("r", "Reshape", "data", "reshape_param { shape { dim: -1 dim: 96 } }"), "keeps the batch as the"),
            (layer("r", "Reshape", "data", "reshape_param { shape { dim: 0 dim: 7 } }"), "for the 192 values of"),
            (layer("r", "Reshape", "data", "reshape_param { shape { dim: 0 dim: 7 dim: -1 } }"), "for the 192 values"),
            (layer("r", "Reshape", "data", "reshape_param { axis: 5 }"), "axis, num_axes: got 5, -1, expected axes of"),
            (
                layer("r", "Reshape", "data", "reshape_param { axis: 3 shape { dim: 0 dim: 0 } }"),
                r"shape: got \(0, 0\), whose 0 has no axis",
            ),
            (
                layer("f", "Flatten", "data", "flatten_param { axis: 3 end_axis: 2 }"),
                "expected an end_axis of at least",
            ),
            (
                layer("f", "Flatten", "data") + layer("c", "Crop", "data f"),
                "dimensions of the second input: got 2, expected 4",
            ),
            (
                layer("p", "Pooling", "data", "pooling_param { kernel_size: 2 }")
                + layer("c", "Crop", "data p", "crop_param { offset: 2 }"),
                r"offset: got \(2, 2\), which with size \(7, 7\) reaches out of \(8, 8\)",
            ),
            (
                layer("p", "Pooling", "data", "pooling_param { kernel_size: 2 }")
                + layer("c", "Crop", "data p", "crop_param { offset: 0 offset: 0 offset: 0 }"),
                "number of offsets: got 3, expected 2",
            ),
        ],
    )
    def test_layers_that_do_not_fit_are_errors(self, text, message, tmp_path):
        specs = self.read(tmp_path, text)
        with pytest.raises(PrototxtError, match=message):
            build_net(specs, [])


class TestReshape:
    """However a file writes the batch, a picture stays a picture, and any number of them may be given."""

    @pytest.mark.parametrize(
        "shape", ["dim: 0 dim: -1", "dim: 1 dim: 192", "dim: -1 dim: 192", "dim: 0 dim: 192", "dim: 0 dim: 0 dim: 64"]
    )
    def test_keeps_the_batch(self, shape, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_text(DATA + layer("it", "Reshape", "data", f"reshape_param {{ shape {{ {shape} }} }}"))
        output, _ = build_net(read_prototxt(path), [])
        assert output.output_shape in [(None, 192), (None, 3, 64)]

    def test_copies_sizes_that_are_known_at_run_time_only(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_text(DATA + layer("it", "Reshape", "data", "reshape_param { shape { dim: 0 dim: 0 dim: -1 } }"))
        output, _ = build_net(read_prototxt(path), [], input_shape=(None, 3, None, None))
        assert output.output_shape == (None, 3, None)
        assert lasagne.layers.get_output(output).ndim == 3


def test_reading_files_needs_no_theano():
    code = "import sys, nsfw_model.prototxt, nsfw_model.caffemodel; print({'theano', 'lasagne'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert result.stdout.strip() == "set()", result.stderr


def test_the_old_name_of_lowering_still_works():
    code = "import warnings; warnings.simplefilter('error')\nimport nsfw_model.fusing"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "DeprecationWarning: nsfw_model.fusing is now nsfw_model.lowering" in result.stderr
    code = "import nsfw_model.fusing, nsfw_model.lowering as l, sys; assert sys.modules['nsfw_model.fusing'] is l"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
