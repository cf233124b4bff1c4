"""Prototxt files: what they mean, and that nothing in them is skipped in silence."""

from pathlib import Path

import pytest
from generated_nets import layer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsfw_model import prototxt
from nsfw_model.prototxt import PrototxtError, read_prototxt

DEPLOY = Path(prototxt.__file__).parent / "deploy.prototxt"
DATA = layer("data", "Input", "", "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")
CONV = layer("conv", "Convolution", "data", "convolution_param { num_output: 4 kernel_size: 3 }")


def read(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return read_prototxt(path)


def settings_of(tmp_path, type, text):
    return read(tmp_path, DATA + layer("it", type, "data", text))[1].settings


def conv_settings(tmp_path, text):
    return settings_of(tmp_path, "Convolution", f"convolution_param {{ num_output: 4 {text} }}")


class TestDeployFile:
    def test_layers_are_those_of_open_nsfw(self):
        types = [spec.type for spec in read_prototxt(DEPLOY)]
        assert {type: types.count(type) for type in types} == {
            "Input": 1,
            "Convolution": 53,
            "BatchNorm": 53,
            "Scale": 53,
            "ReLU": 49,
            "Pooling": 2,
            "Eltwise": 16,
            "InnerProduct": 1,
            "Softmax": 1,
        }

    def test_yahoos_own_file_is_the_same_network(self, yahoo_files):
        assert read_prototxt(yahoo_files[0]) == read_prototxt(DEPLOY)


class TestSettings:
    def test_one_value_stands_for_height_and_width(self, tmp_path):
        assert conv_settings(tmp_path, "kernel_size: 3 pad: 1 stride: 2 dilation: 2") == {
            "num_output": 4,
            "kernel": (3, 3),
            "pad": (1, 1),
            "stride": (2, 2),
            "dilation": (2, 2),
            "group": 1,
            "bias": True,
        }

    def test_two_values_are_height_and_width(self, tmp_path):
        found = conv_settings(tmp_path, "kernel_size: 3 kernel_size: 5 stride: 1 stride: 2")
        assert (found["kernel"], found["stride"]) == ((3, 5), (1, 2))

    def test_fields_for_height_and_width(self, tmp_path):
        found = conv_settings(tmp_path, "kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 1 pad_w: 2")
        assert (found["kernel"], found["stride"], found["pad"]) == ((3, 5), (2, 1), (0, 2))

    def test_defaults_are_caffes(self, tmp_path):
        pooling = settings_of(tmp_path, "Pooling", "pooling_param { kernel_size: 2 }")
        assert (pooling["mode"], pooling["stride"], pooling["pad"]) == ("max", (1, 1), (0, 0))
        assert settings_of(tmp_path, "BatchNorm", "")["eps"] == pytest.approx(1e-5, rel=1e-6)
        assert settings_of(tmp_path, "Scale", "") == {"axis": 1, "num_axes": 1, "bias": False}
        assert settings_of(tmp_path, "Dropout", "") == {"ratio": 0.5}

    def test_coefficients_of_a_maximum_have_no_effect(self, tmp_path):
        text = DATA + layer("max", "Eltwise", "data data", "eltwise_param { operation: MAX coeff: 2 coeff: 3 }")
        assert read(tmp_path, text)[1].settings == {"operation": "max", "coeff": None}

    def test_dropout_of_nothing_is_one(self, tmp_path):
        assert settings_of(tmp_path, "Dropout", "dropout_param { dropout_ratio: 0 }") == {"ratio": 0}

    def test_the_axis_of_the_channels_may_be_counted_from_the_end(self, tmp_path):
        text = DATA + CONV.replace("num_output: 4", "num_output: 4 axis: -3")
        assert read(tmp_path, text)[1].settings == read(tmp_path, DATA + CONV)[1].settings

    def test_coefficients_of_one_are_none(self, tmp_path):
        text = DATA + layer("sum", "Eltwise", "data data", "eltwise_param { coeff: 1 coeff: 1 }")
        assert read(tmp_path, text)[1].settings == {"operation": "sum", "coeff": None}

    def test_what_only_training_uses_makes_no_difference(self, tmp_path):
        filled = CONV.replace(
            "kernel_size: 3",
            'kernel_size: 3 engine: CAFFE weight_filler { type: "xavier" } bias_filler { value: 1 }',
        ).replace("top:", 'param { lr_mult: 1 decay_mult: 0 name: "w" } loss_weight: 1 propagate_down: true top:')
        assert read(tmp_path, DATA + filled) == read(tmp_path, DATA + CONV)

    def test_comments_and_other_spellings_of_the_text_format(self, tmp_path):
        text = DATA + "# layer { name: 'no' }\nlayer: <name: 'relu', type: 'ReLU'; bottom: 'data' top: 'relu'>"
        assert [spec.name for spec in read(tmp_path, text)] == ["data", "relu"]


class TestInputOfOlderFiles:
    RELU = layer("relu", "ReLU", "data")

    @pytest.mark.parametrize(
        "text",
        [
            'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8',
            'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }',
        ],
    )
    def test_is_an_input_layer(self, text, tmp_path):
        assert read(tmp_path, text + "\n" + self.RELU) == read(tmp_path, DATA + self.RELU)

    @pytest.mark.parametrize(
        "text, message",
        [
            ('input: "data" input_dim: 1', "got 1 of input and 1 of input_dim, expected 4 of input_dim"),
            ('input: "data"', "got 1 of input and 0 of input_shape"),
            (
                'input: "data" input_shape { dim: 0 dim: 3 }',
                r"layer 'data' \(Input\): shape: got 0, expected 1 to",
            ),
            (
                'input: "data" input_dim: 1 input_shape { dim: 1 dim: 3 }',
                "got both input_dim and input_shape",
            ),
        ],
    )
    def test_that_is_incomplete_is_an_error(self, text, message, tmp_path):
        with pytest.raises(PrototxtError, match=message):
            read(tmp_path, text + "\n" + self.RELU)


class TestPhaseRules:
    def names(self, tmp_path, rules):
        text = DATA + layer("relu", "ReLU", "data") + layer("extra", "ReLU", "relu", rules, top="relu")
        return [spec.name for spec in read(tmp_path, text)]

    @pytest.mark.parametrize(
        "rules",
        [
            "include { phase: TEST }",
            "exclude { phase: TRAIN }",
            "include { phase: TRAIN } include { phase: TEST }",
            'include { phase: TEST } include { stage: "deploy" }',
            'exclude { phase: TRAIN stage: "deploy" }',
        ],
    )
    def test_keep_layers_of_the_test_phase(self, rules, tmp_path):
        assert self.names(tmp_path, rules) == ["data", "relu", "extra"]

    @pytest.mark.parametrize(
        "rules",
        [
            "include { phase: TRAIN }",
            "exclude { phase: TEST }",
            "exclude { phase: TRAIN } exclude { phase: TEST }",
            "include { phase: TRAIN min_level: 2 }",
        ],
    )
    def test_leave_out_layers_of_training(self, rules, tmp_path):
        assert self.names(tmp_path, rules) == ["data", "relu"]

    @pytest.mark.parametrize(
        "rules, message",
        [
            ('include { stage: "deploy" }', "depends on level or stage"),
            ('include { phase: TEST not_stage: "deploy" }', "depends on level or stage"),
            ("exclude { phase: TEST max_level: 0 }", "depends on level or stage"),
            ("include { }", "without a condition"),
            ("include { phase: TEST } exclude { phase: TRAIN }", "got both include and exclude rules"),
            ("phase: TRAIN", "phase: got TRAIN"),
        ],
    )
    def test_that_do_not_decide_are_errors(self, rules, message, tmp_path):
        with pytest.raises(PrototxtError, match=rf"net.prototxt:3: layer 'extra' \(ReLU\): .*{message}"):
            self.names(tmp_path, rules)

    def test_a_data_layer_of_training_may_be_there(self, tmp_path):
        data = (
            'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } '
            "transform_param { mirror: true crop_size: 8 mean_value: 104 } "
            'data_param { source: "x" batch_size: 4 } }\n'
        )
        assert read(tmp_path, data + DATA + CONV) == read(tmp_path, DATA + CONV)

    def test_a_file_for_another_phase_is_an_error(self, tmp_path):
        with pytest.raises(PrototxtError, match="state: expected the TEST phase"):
            read(tmp_path, "state { phase: TRAIN }" + DATA + CONV)


# the layer in question starts on line 2
BAD_LAYERS = {
    "unknown type": (
        layer("it", "Deformable", "data"),
        "got an unknown layer type, expected one of AbsVal, BNLL, BatchNorm, ",
    ),
    "unknown field": (CONV.replace("num_output", "numoutput"), 'no field named "numoutput"'),
    "field of another type": (layer("it", "ReLU", "data", "lrn_param { }"), "got lrn_param, which this"),
    "no name": (layer("", "ReLU", "data"), "got no name"),
    "missing bottom": (layer("it", "ReLU", "nothing"), "bottom 'nothing': no earlier layer makes it"),
    "no bottom": (layer("it", "ReLU", ""), "got 0 bottoms, expected 1"),
    "two bottoms": (layer("it", "ReLU", "data data"), "got 2 bottoms, expected 1"),
    "no bottoms": (layer("it", "Concat", ""), "got 0 bottoms, expected 1 or more"),
    "two tops": (layer("it", "ReLU", "data", 'top: "more"'), "got 2 tops, expected 1"),
    "name twice": (layer("data", "ReLU", "data"), "got the name of an earlier layer"),
    "top twice": (
        layer("a", "ReLU", "data", top="x") + layer("b", "ReLU", "data", top="x"),
        "layer 'a' makes it already",
    ),
    "pooling in place": (
        layer("it", "Pooling", "data", "pooling_param { kernel_size: 1 }", top="data"),
        "in place",
    ),
    "two outputs": (
        layer("a", "ReLU", "data") + layer("b", "ReLU", "data"),
        "nobody reads ('a', 'b'), expected 1",
    ),
    "two inputs": (
        DATA.replace("data", "more") + layer("sum", "Eltwise", "data more"),
        "got a network of 2 inputs",
    ),
    "input without shape": (layer("it", "Input", ""), "got 0 shapes, expected 1"),
    "input of three dimensions": (
        layer("it", "Input", "", "input_param { shape { dim: 1 dim: 2 dim: 3 } }"),
        "shape: got (1, 2, 3)",
    ),
    "negative input": (
        layer("it", "Input", "", "input_param { shape { dim: 1 dim: -3 } }"),
        "got -3, expected 1 to 65536",
    ),
    "huge input": (
        layer("it", "Input", "", "input_param { shape { dim: 65536 dim: 65536 } }"),
        "expected at most 268435456 values",
    ),
    "no kernel": (CONV.replace("kernel_size: 3", ""), "kernel: got none"),
    "kernel of 0": (CONV.replace("kernel_size: 3", "kernel_size: 0"), "kernel: got 0, expected 1 to 65536"),
    "huge kernel": (
        CONV.replace("kernel_size: 3", "kernel_size: 4294967295"),
        "kernel: got 4294967295, expected",
    ),
    "negative kernel": (CONV.replace("kernel_size: 3", "kernel_size: -1"), "-1"),
    "half a kernel": (
        CONV.replace("kernel_size: 3", "kernel_h: 3"),
        "got one of kernel_h and kernel_w, expected both",
    ),
    "two kinds of kernel": (
        CONV.replace("kernel_size: 3", "kernel_size: 3 kernel_h: 3 kernel_w: 3"),
        "kernel: got both",
    ),
    "kernel of three dimensions": (
        CONV.replace("kernel_size: 3", "kernel_size: 3 " * 3),
        "kernel: got 3 values",
    ),
    "stride of 0": (CONV.replace("kernel_size: 3", "kernel_size: 3 stride: 0"), "stride: got 0"),
    "no output": (CONV.replace("num_output: 4", ""), "num_output: got 0, expected 1 to 65536"),
    "uneven groups": (
        CONV.replace("num_output: 4", "num_output: 4 group: 3"),
        "expected a multiple of group 3",
    ),
    "other axis": (CONV.replace("num_output: 4", "num_output: 4 axis: 2"), "axis: got 2, expected 1"),
    "statistics of the batch": (
        layer("it", "BatchNorm", "data", "batch_norm_param { use_global_stats: false }"),
        "got false",
    ),
    "negative eps": (
        layer("it", "BatchNorm", "data", "batch_norm_param { eps: -1 }"),
        "eps: got -1.0, expected a number above 0",
    ),
    "slope that is none": (
        layer("it", "ReLU", "data", "relu_param { negative_slope: nan }"),
        "negative_slope: got nan",
    ),
    "scale of the batch": (
        layer("it", "Scale", "data", "scale_param { axis: 0 }"),
        "axis: got 0, expected at least 1",
    ),
    "scale by another blob": (layer("it", "Scale", "data data"), "got 2 bottoms, expected 1"),
    "scale of less than all axes": (
        layer("it", "Scale", "data", "scale_param { num_axes: -2 }"),
        "num_axes: got -2",
    ),
    "random pooling": (
        layer("it", "Pooling", "data", "pooling_param { pool: STOCHASTIC }"),
        "expected MAX or AVE",
    ),
    "pooling all of padding": (
        layer("it", "Pooling", "data", "pooling_param { kernel_size: 2 pad: 2 }"),
        "less than the kernel",
    ),
    "global pooling with kernel": (
        layer("it", "Pooling", "data", "pooling_param { global_pooling: true kernel_size: 2 }"),
        "and a kernel size",
    ),
    "global pooling with pad": (
        layer("it", "Pooling", "data", "pooling_param { global_pooling: true pad: 1 }"),
        "pad 0",
    ),
    "coefficients of a product": (
        layer("it", "Eltwise", "data data", "eltwise_param { operation: PROD coeff: 1 coeff: 1 }"),
        "for SUM only",
    ),
    "too few coefficients of a maximum": (
        layer("it", "Eltwise", "data data", "eltwise_param { operation: MAX coeff: 1 }"),
        "coeff: got 1, expected 2",
    ),
    "axis of a convolution from the end": (
        CONV.replace("num_output: 4", "num_output: 4 axis: -2"),
        "axis: got -2, expected 1",
    ),
    "axis of a matrix": (
        layer("it", "InnerProduct", "data", "inner_product_param { num_output: 1 axis: 2 }"),
        "axis: got 2, expected 1",
    ),
    "dropout of less than nothing": (
        layer("it", "Dropout", "data", "dropout_param { dropout_ratio: -0.5 }"),
        "dropout_ratio: got -0.5",
    ),
    "too few coefficients": (
        layer("it", "Eltwise", "data data", "eltwise_param { coeff: 1 }"),
        "coeff: got 1, expected 2",
    ),
    "sum of one": (layer("it", "Eltwise", "data"), "got 1 bottoms, expected 2 or more"),
    "dropout of all": (
        layer("it", "Dropout", "data", "dropout_param { dropout_ratio: 1 }"),
        "dropout_ratio: got 1.0",
    ),
    "concat of batches": (
        layer("it", "Concat", "data data", "concat_param { axis: 0 }"),
        "batches are not joined",
    ),
    "softmax over the batch": (layer("it", "Softmax", "data", "softmax_param { axis: 0 }"), "axis: got 0"),
    "even lrn": (
        layer("it", "LRN", "data", "lrn_param { local_size: 4 }"),
        "local_size: got 4, expected an odd number",
    ),
    "weights inline": (
        layer("it", "InnerProduct", "data", "inner_product_param { num_output: 1 } blobs { }"),
        "got blobs",
    ),
    "a field twice": (CONV.replace("num_output: 4", "num_output: 4 num_output: 5"), "num_output"),
    "settings twice": (
        layer("it", "ReLU", "data", "relu_param { negative_slope: 1 } relu_param { }"),
        "relu_param",
    ),
}


@pytest.mark.parametrize("what", BAD_LAYERS)
def test_what_is_not_understood_is_an_error_with_file_line_and_layer(what, tmp_path):
    text, message = BAD_LAYERS[what]
    with pytest.raises(PrototxtError) as caught:
        read(tmp_path, DATA + text)
    assert str(caught.value).startswith(tuple(f"{tmp_path}/net.prototxt:{line}: layer " for line in (2, 3)))
    assert message in str(caught.value)


class TestWholeFile:
    @pytest.mark.parametrize(
        "text, message",
        [
            ("", "got no layer that runs in the TEST phase"),
            ("layers { name: 'conv1' type: CONVOLUTION }", ":1: layer 'conv1' .Convolution.: got 0 bottoms"),
            ("layers { layer { name: 'conv1' type: 'conv' } }", "net.prototxt: layer 'conv1': got Caffe's V0 format"),
            ("layer { } layers { }", "net.prototxt: got both `layer` and `layers`"),
            ("layers { type: CONVOLUTED }", "net.prototxt:1: .*CONVOLUTED"),
            ("layer { name: 'x'", "net.prototxt:1: layer 'x': "),
            ("nonsense", "net.prototxt:1: "),
        ],
    )
    def test_that_is_no_network_is_an_error(self, text, message, tmp_path):
        with pytest.raises(PrototxtError, match=message):
            read(tmp_path, text)

    def test_that_is_binary_is_an_error(self, tmp_path):
        path = tmp_path / "net.prototxt"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(PrototxtError, match="net.prototxt: expected text, got binary data at byte 0"):
            read_prototxt(path)

    def test_over_the_limit_is_not_even_read(self, tmp_path):
        path = tmp_path / "net.prototxt"
        with path.open("wb") as file:
            file.truncate(prototxt.MAX_FILE_BYTES + 1)
        with pytest.raises(PrototxtError, match="got 4194305 bytes, expected at most 4194304"):
            read_prototxt(path)

    def test_of_too_many_layers_is_an_error(self, tmp_path):
        with pytest.raises(PrototxtError, match="got 4097 layers, expected at most 4096"):
            read(tmp_path, "layer { }\n" * 4097)

    def test_with_blobs_shared_by_two_layers_is_an_error(self, tmp_path):
        named = [layer(name, "Scale", "data", 'param { name: "w" }', top="data") for name in "ab"]
        with pytest.raises(PrototxtError, match=r":3: layer 'b' .*: param name 'w': got a blob shared with layer 'a'"):
            read(tmp_path, DATA + "".join(named))

    def test_is_quoted_in_part_only(self, tmp_path):
        """The message had the whole of a line of 4 MB."""
        with pytest.raises(PrototxtError, match=r"\.\.\. \(\d+ characters\)$") as error:
            read(tmp_path, "'" * 1_000_000)
        assert len(str(error.value)) < 2100

    def test_that_is_missing_is_an_oserror(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_prototxt(tmp_path / "none.prototxt")

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_that_is_damaged_is_read_or_refused(self, tmp_path, data):
        text = bytearray((DATA + CONV).encode())
        for _ in range(data.draw(st.integers(1, 4))):
            text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path / "net.prototxt"
        path.write_bytes(bytes(text))
        try:
            assert read_prototxt(path)
        except PrototxtError:
            pass


class TestPlaces:
    """Where layers begin and what they are called, for messages."""

    @pytest.mark.parametrize(
        "text, starts",
        [
            ("", []),
            ("layer { name: 'a' }", [(1, "a")]),
            ('\n\nlayers <\nname: "b">\nlayer{}', [(3, "b"), (5, "")]),
            ("name: 'net' layer { type: 'x' name: 'a' }", [(1, "a")]),
            ("layer { param { name: 'w' } }", [(1, "")]),
            ("layer { param { name: 'w' } name: 'a' }\nlayer { name: 'b' }", [(1, "a"), (2, "b")]),
            ("layer { name: 'a' } name: 'net'", [(1, "a")]),
            ("# layer { name: 'x' }\nlayer { name: 'a' }", [(2, "a")]),
            ("layer { # }\n name: 'a' }\nlayer { }", [(1, "a"), (3, "")]),
            ('layer { name: \'a { layer\' }\nlayer { name: "b\\"}" }', [(1, "a { layer"), (2, 'b\\"}')]),
            ("layer { name: 'a\n' }\nlayer { }", [(1, "")]),
            ("state { layer: 5 } layer { }", [(1, "")]),
            ("layer { top: 'name' name: 'a' bottom: 'b' }", [(1, "a")]),
            ("layered { }\nlayer { }", [(2, "")]),
            ("name: 'net'", []),
        ],
    )
    def test_of_layers_are_found(self, text, starts):
        assert prototxt._layer_starts(text) == starts

    @pytest.mark.parametrize("line, layer", [(1, ""), (2, "layer 'a': "), (3, "layer 'a': "), (4, "layer 'b': ")])
    def test_of_errors_are_within_the_layer_that_began_last(self, line, layer, tmp_path):
        lines = ["name: 'net'", "layer { name: 'a'", "}", "layer { name: 'b' }"]
        lines[line - 1] += " nonsense: 1"
        if line in (1, 4):
            lines[line - 1] = lines[line - 1].replace(" } nonsense: 1", " nonsense: 1 }")
        elif line == 3:
            lines[2] = "nonsense: 1 }"
        with pytest.raises(PrototxtError, match=f"^{tmp_path}/net.prototxt:{line}: {layer}Message type .*nonsense"):
            read(tmp_path, "\n".join(lines))


class TestBounds:
    def test_a_file_may_have_as_many_bytes_as_the_limit(self, tmp_path, monkeypatch):
        text = DATA + CONV
        monkeypatch.setattr(prototxt, "MAX_FILE_BYTES", len(text))
        assert len(read(tmp_path, text)) == 2
        monkeypatch.setattr(prototxt, "MAX_FILE_BYTES", len(text) - 1)
        with pytest.raises(PrototxtError, match=f"got {len(text)} bytes, expected at most {len(text) - 1} of text$"):
            read(tmp_path, text)

    def test_a_network_may_have_as_many_layers_as_the_limit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(prototxt, "MAX_LAYERS", 2)
        assert len(read(tmp_path, DATA + CONV)) == 2
        monkeypatch.setattr(prototxt, "MAX_LAYERS", 1)
        with pytest.raises(PrototxtError, match="got 2 layers, expected at most 1$"):
            read(tmp_path, DATA + CONV)

    @pytest.mark.parametrize("state", ["phase: TRAIN", "phase: TEST level: 1", "phase: TEST stage: 'deploy'"])
    def test_a_state_is_that_of_the_test_phase_alone(self, state, tmp_path):
        assert read(tmp_path, "state { phase: TEST level: 0 }\n" + DATA + CONV)
        with pytest.raises(PrototxtError, match="state: expected the TEST phase without level and stages$"):
            read(tmp_path, f"state {{ {state} }}\n" + DATA + CONV)

    @pytest.mark.parametrize(
        "got, bounds, expected",
        [(0, (1, 1), "1"), (2, (1, 1), "1"), (1, (2, None), "2 or more"), (0, (1, 3), "1 to 3"), (4, (1, 3), "1 to 3")],
    )
    def test_a_count_out_of_bounds_is_told_with_them(self, got, bounds, expected):
        spec = prototxt.LayerSpec("it", "ReLU", (), (), where="net:5")
        with pytest.raises(PrototxtError, match=f"^net:5: layer 'it' \\(ReLU\\): got {got} tops, expected {expected}$"):
            prototxt._check_count(spec, "tops", got, bounds)

    @pytest.mark.parametrize("got, bounds", [(1, (1, 1)), (2, (2, None)), (99, (2, None)), (1, (1, 3)), (3, (1, 3))])
    def test_a_count_within_bounds_is_right(self, got, bounds):
        prototxt._check_count(prototxt.LayerSpec("it", "ReLU", (), ()), "tops", got, bounds)


class TestWiring:
    def test_a_layer_may_name_its_own_blobs_twice_and_leave_others_without_a_name(self, tmp_path):
        own = layer("a", "Scale", "data", 'param { name: "w" } param { name: "w" }', top="data")
        unnamed = [layer(name, "Scale", "data", "param { } param { }", top="data") for name in "bc"]
        assert len(read(tmp_path, DATA + own + "".join(unnamed))) == 4

    def test_a_blob_may_be_made_anew_in_place_and_read_before_and_behind(self, tmp_path):
        text = DATA + layer("a", "ReLU", "data", top="data") + layer("b", "ReLU", "data", top="data")
        assert [spec.name for spec in read(tmp_path, text)] == ["data", "a", "b"]

    def test_a_layer_makes_each_top_once(self, tmp_path):
        text = DATA + layer("split", "Split", "data", top="a a") + layer("sum", "Eltwise", "a a")
        with pytest.raises(
            PrototxtError, match=r":2: layer 'split' \(Split\): top 'a': layer 'split' makes it already$"
        ):
            read(tmp_path, text)

    def test_without_an_input_the_first_layer_is_to_blame_and_of_several_the_last(self, tmp_path):
        with pytest.raises(PrototxtError, match=r":3: layer 'c' \(Input\): got a network of 3 inputs, expected 1$"):
            several = [DATA.replace("data", name) for name in "abc"]
            read(tmp_path, "".join(several) + layer("sum", "Eltwise", "a b c"))

    def test_outputs_are_named_in_order_and_the_first_is_to_blame(self, tmp_path):
        outputs = layer("a", "ReLU", "data") + layer("b", "ReLU", "data") + layer("c", "ReLU", "a")
        with pytest.raises(
            PrototxtError, match=r":3: layer 'b' \(ReLU\): got 2 outputs that nobody reads \('b', 'c'\), expected 1$"
        ):
            read(tmp_path, DATA + outputs)

    def test_a_name_that_is_there_three_times_is_told_at_the_second(self, tmp_path):
        same = "".join(layer("a", "ReLU", "data", top="data") for _ in range(3))
        with pytest.raises(
            PrototxtError, match=r":3: layer 'a' \(ReLU\): got the name of an earlier layer, expected a name"
        ):
            read(tmp_path, DATA + same)
