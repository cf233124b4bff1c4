"""Networks of strangers: prototxt files and caffemodels that promise too much, contradict themselves or are others."""

import os
import struct
from math import prod

from attack import Attack, Attacks
from google.protobuf import text_format

from nsfw_experiments.evolution.checkpoint import Checkpoint
from nsfw_model.caffemodel import convert, read_caffemodel
from nsfw_model.network import build_net
from nsfw_model.prototxt import read_prototxt
from nsfw_model.schema import NetParameter
from nsfw_model.scorer import Scorer
from nsfw_model.weights import load_weights
from open_nsfw import model_files

ATTACKS = Attacks()
WEIGHTS, ARCHITECTURE = model_files()
INPUT = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'


def layer(name, kind="ReLU", bottom="data", settings="", top=None):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {settings} }}\n'


def convolution(settings):
    return INPUT + layer("conv", "Convolution", settings=f"convolution_param {{ {settings} }}")


def _prototxt(text):
    def carry_out(folder):
        path = folder / "net.prototxt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [spec.type for spec in read_prototxt(path)]

    return carry_out


def _built(text):
    def carry_out(folder):
        path = folder / "net.prototxt"
        path.write_text(text)
        output, _ = build_net(read_prototxt(path), [])
        return output.output_shape

    return carry_out


def refused(message, line=""):
    return rf"PrototxtError: /\S+/net\.prototxt{line}: ({message})"


CHAIN = "".join(layer(f"r{n}", bottom=f"r{n - 1}" if n else "data") for n in range(4096))
WIDE = "".join(layer(f"r{n}") for n in range(2000))
ALL = " ".join(f'bottom: "r{n}"' for n in range(2000))
PROTOTXT = {
    "nothing": ("", refused("got no layer that runs in the TEST phase")),
    "binary data": (b"\xff\xfe\0\0" * 100, refused("expected text, got binary data")),
    "zeros": (bytes(1000), refused("'", ":1")),
    "more than 4 MiB": ("#" * ((4 << 20) + 1), refused("got 4194305 bytes, expected at most 4194304 of text")),
    "two names": (
        INPUT + layer("a") + layer("a", bottom="a", top="b"),
        refused("layer 'a' .*got the name of an earlier", ":3"),
    ),
    "a top made twice": (
        INPUT + layer("a") + layer("b", top="a"),
        refused("layer 'b' .*layer 'a' makes it already", ":3"),
    ),
    "a cycle": (
        INPUT + layer("a", bottom="b") + layer("b", bottom="a"),
        refused("layer 'a' .*no earlier layer makes it", ":2"),
    ),
    "a layer that feeds itself": (
        INPUT + layer("a", bottom="a"),
        refused("layer 'a' .*no earlier layer makes it", ":2"),
    ),
    "two outputs": (INPUT + layer("a") + layer("b"), refused("layer 'a' .*got 2 outputs that nobody reads", ":2")),
    "no name": (INPUT + layer(""), refused("layer '' .*got no name", ":2")),
    "an unknown type": (INPUT + layer("a", "Backdoor"), refused("layer 'a' .*got an unknown layer type", ":2")),
    "Python's layer": (
        INPUT + layer("a", "Python"),
        refused("layer 'a' .*(not supported|feeds or judges|unknown)", ":2"),
    ),
    "an unknown field": (INPUT + layer("a", settings="run: 'it'"), refused("layer 'a': .*no field named", ":2")),
    "an extension": (INPUT + layer("a", settings="[x.y]: 1"), refused("layer 'a': ", ":2")),
    "another layer's settings": (
        INPUT + layer("a", settings="lrn_param { }"),
        refused(".*lrn_param, which this layer type", ":2"),
    ),
    "no filters": (convolution("num_output: 0 kernel_size: 1"), refused("layer 'conv' .*num_output: got 0", ":2")),
    "4 billion filters": (
        convolution("num_output: 4294967295 kernel_size: 1"),
        refused(".*got 4294967295, expected", ":2"),
    ),
    "a negative number of filters": (convolution("num_output: -1 kernel_size: 1"), refused(".*-1", ":2")),
    "a number of 100,000 digits": (convolution(f"num_output: {'9' * 100_000}"), refused("layer 'conv': .*9", ":2")),
    "a kernel of 4 billion": (
        convolution("num_output: 1 kernel_size: 4294967295"),
        refused(".*got 4294967295, expected", ":2"),
    ),
    "a stride of 0": (convolution("num_output: 1 kernel_size: 1 stride: 0"), refused(".*stride: got 0", ":2")),
    "a padding of 4 billion": (
        convolution("num_output: 1 kernel_size: 1 pad: 4294967295"),
        refused(".*got 4294967295", ":2"),
    ),
    "a dilation of 4 billion": (
        convolution("num_output: 1 kernel_size: 3 dilation: 4294967295"),
        refused(".*4294967295", ":2"),
    ),
    "no group": (convolution("num_output: 1 kernel_size: 1 group: 0"), refused(".*group: got 0", ":2")),
    "an input of exabytes": (INPUT.replace("8", str(1 << 40)) + layer("a"), refused("layer 'data' .*shape: got")),
    "a negative input": (INPUT.replace("8", "-8") + layer("a"), refused("layer 'data' .*shape: got -8")),
    "two inputs": (INPUT + INPUT.replace("data", "x") + layer("a"), refused(".*2 inputs|.*got 2 ")),
    "text after the end": (INPUT + layer("a") + "}", refused("layer 'a': .*Expected identifier", ":3")),
    "a block that is not closed": (INPUT + "layer { name: 'a'", refused("layer 'a': Expected", ":2")),
}
for name, (text, outcome) in PROTOTXT.items():
    ATTACKS.append(Attack("networks", f"prototxt: {name}", _prototxt(text), outcome))

COSTLY = {
    "64 KB of quotes in one string": ('name: "' + '\\"' * 32_000, refused("'name: ", ":1")),
    "4 MB of quotes in one string": ('name: "' + '\\"' * ((2 << 20) - 10), refused("'name: .* characters", ":1")),
    "4 MB of quotes": ("'" * ((4 << 20) - 10), refused("''.* characters", ":1")),
    "a million strings": ("name: " + "'' " * 1_000_000, refused("got no layer")),
    "brackets, 100,000 deep": ("layer {" * 100_000, refused("layer '': .*no field named .layer", ":1")),
    "rules, 100,000 deep": (
        INPUT + "layer { include {" + "state {" * 100_000,
        refused("layer '': .*no field named .state", ":2"),
    ),
    "100,000 layers": (INPUT + layer("a") * 60_000, refused("got 60000 layers, expected at most 4096")),
    "a million bottoms": (
        INPUT + "layer { name: 'a' type: 'Eltwise' " + "bottom: 'data' " * 200_000 + "}",
        refused("layer 'a' .*got 0 tops", ":2"),
    ),
    "a million dimensions": (
        "input: 'data' input_shape { " + "dim: 1 " * 500_000 + "}" + layer("a"),
        refused(".*shape"),
    ),
    "4 MB of comments": ("#\n" * ((2 << 20) - 10), refused("got no layer")),
}
for name, (text, outcome) in COSTLY.items():
    ATTACKS.append(Attack("cost", f"prototxt: {name}", _prototxt(text), outcome))
BUILT = {
    "4096 layers in a row": (INPUT + CHAIN, r"\(None, 3, 8, 8\)|PrototxtError: .*4097 layers"),
    "a sum of 2000 layers": (
        INPUT + WIDE + f'layer {{ name: "sum" type: "Eltwise" {ALL} top: "sum" }}',
        r"\(None, 3, 8, 8\)",
    ),
    "a pooling of all that 65,536 squared has": (
        INPUT.replace("8", "65536") + layer("p", "Pooling", settings="pooling_param { global_pooling: true }"),
        refused("layer 'data' .*expected at most 268435456 values"),
    ),
    "splits that double thirty times": (
        INPUT
        + "".join(
            f'layer {{ name: "c{n}" type: "Concat" bottom: "{b}" bottom: "{b}" top: "c{n}" }}\n'
            for n in range(30)
            for b in [f"c{n - 1}" if n else "data"]
        ),
        refused("layer 'c[0-9]+' .*expected at most 268435456 values", ":[0-9]+"),
    ),
    "weights that are missing": (
        convolution("num_output: 65535 kernel_size: 60000"),
        "(PrototxtError|WeightsError): .*layer 'conv'",
    ),
}
for name, (text, outcome) in BUILT.items():
    ATTACKS.append(Attack("cost", f"network: {name}", _built(text), outcome))

# caffemodels


def _read(data):
    def carry_out(folder):
        path = folder / "net.caffemodel"
        path.write_bytes(data)
        _, weights = read_caffemodel(path)
        return weights

    return carry_out


def varint(number):
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def field(number, content):
    """A field of bytes, in protobuf's wire format."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def model(layer_content):
    return field(1, b"net") + field(100, field(1, b"conv") + field(2, b"Convolution") + layer_content)


def blob(shape, values=b"", **more):
    dims = field(1, b"".join(varint(size & (1 << 64) - 1) for size in shape))
    return field(7, field(7, dims) + field(5, values))


def broken(message):
    return rf"CaffemodelError: /\S+/net\.caffemodel: ({message})"


FLOATS = struct.pack("<2f", 1, 2)
CAFFEMODELS = {
    "nothing": (b"", broken("got 0 layers, expected 1 to 4096")),
    "a name only": (field(1, b"net"), broken("got 0 layers")),
    "a length beyond the end": (b"\xa2\x06\xff\xff\xff\xff\x07", broken("expected a binary NetParameter message")),
    "a length of 2 to the 63": (b"\xa2\x06" + varint(1 << 63), broken("expected a binary NetParameter message")),
    "a number without end": (b"\xa2\x06" + b"\xff" * 20, broken("expected a binary NetParameter message")),
    "a wire type that there is not": (b"\x07", broken("expected a binary NetParameter message")),
    "groups, 100,000 deep": (b"\x0b" * 100_000, broken("expected a binary NetParameter message")),
    "names that are not text": (field(100, field(1, b"\xff\xfe")), broken(".*(message|not text)")),
    "a blob of exabytes": (model(blob((1 << 60,), FLOATS)), broken("layer 'conv' .*blob 0: got shape")),
    "a blob whose product is small modulo 2 to the 64": (
        model(blob((1 << 32, 1 << 32), FLOATS)),
        broken(".*got shape"),
    ),
    "a blob of billions that are not there": (
        model(blob((30_000, 30_000), FLOATS)),
        broken(".*got 2 values for shape"),
    ),
    "a negative size": (model(blob((-1, -2), FLOATS)), broken(".*got shape")),
    "a size of 0": (model(blob((1 << 20, 0), b"")), broken(".*got shape")),
    "a hundred dimensions": (model(blob((1,) * 100, FLOATS[:4])), broken(".*got shape")),
    "more values than the shape has": (model(blob((1,), FLOATS)), broken(".*got 2 values for shape")),
    "a blob without a shape": (model(field(7, field(5, FLOATS))), broken(".*got neither a shape nor")),
    "not a number": (
        model(blob((2,), struct.pack("<2f", 1, float("nan")))),
        broken(".*blob 0: got values that are not finite"),
    ),
    "infinity": (model(blob((1,), struct.pack("<f", float("inf")))), broken(".*not finite")),
    "double precision": (model(field(7, field(8, bytes(16)))), broken(".*double precision")),
    "a thousand blobs": (model(blob((1,), FLOATS[:4]) * 1000), broken(".*got 1000 blobs")),
    "an unknown field": (model(field(4000, b"x")), broken("layer 'conv' .*fields that are not understood")),
    "an unknown field of the network": (model(b"") + field(4000, b"x"), broken("got fields of the network")),
    "an unknown layer": (
        field(100, field(1, b"a") + field(2, b"Backdoor") + field(9999, b"x")),
        broken(".*an unknown layer type"),
    ),
    "groups in a layer": (model(b"\x0b" * 100_000), broken("expected a binary NetParameter message")),
    "5000 layers": (field(100, field(1, b"a")) * 5000, broken("got 5000 layers, expected 1 to 4096")),
    "a prototxt": (INPUT.encode() + layer("a").encode(), broken(".*it looks like a prototxt")),
    "a pickle": (b"\x80\x03](X", broken(".*it looks like a pickle")),
    "a picture": (b"\xff\xd8\xff\xe0\0\x10JFIF", broken(".*it looks like a picture")),
    "a page": (b"<!doctype html><title>404</title>", broken(".*it looks like a web page")),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\n",
        broken(".*it looks like a pointer of Git LFS"),
    ),
}
for name, (data, outcome) in CAFFEMODELS.items():
    ATTACKS.append(Attack("networks", f"caffemodel: {name}", _read(data), outcome))

MANY = 3_000_000
MANIES = {
    "layers": field(100, b"") * MANY,
    "layers of the older format": field(2, b"") * MANY,
    "blobs": field(100, field(7, b"") * MANY),
    "blobs of the older format": field(2, field(6, b"") * MANY),
    "bottoms": field(100, field(3, b"") * MANY),
    "rules": field(100, field(8, b"") * MANY),
    "settings of parameters": field(100, field(6, b"") * MANY),
    "settings of a layer": field(100, field(106, b"") * MANY),
    "inputs": field(3, b"") * MANY,
    "shapes of inputs": field(8, b"") * MANY,
    "dimensions of a blob": field(100, field(7, field(7, field(1, bytes(MANY))))),
    "dimensions of a blob that are not packed": field(100, field(7, field(7, b"\x08\x01" * MANY))),
    "fields that are not known": b"\xf8\x3f\x01" * MANY,
}
for name, data in MANIES.items():
    outcome = broken("expected a binary NetParameter message: got more than 262144 fields")
    ATTACKS.append(Attack("cost", f"caffemodel of millions of {name}", _read(data), outcome))


@ATTACKS.on("networks", "CaffemodelError: .*(name|twice|two)")
def two_layers_of_one_name_are_not_converted(folder):
    net = NetParameter(name="net")
    for _ in range(2):
        net.layer.add(name="conv", type="Convolution").blobs.add(data=[1.0]).shape.dim.extend([1])
    (folder / "net.caffemodel").write_bytes(net.SerializeToString())
    return convert(folder / "net.caffemodel", folder / "nsfw.pkl")


@ATTACKS.on("networks", "net.caffemodel is text of one line")
def a_file_name_with_a_line_end_is_not_part_of_the_network(folder):
    net = NetParameter(name="net", input=["data"], input_dim=[1, 3, 8, 8])
    net.layer.add(name="relu", type="ReLU", bottom=["data"], top=["relu"])
    path = folder / "net\nlayer { name: 'b' type: 'Sigmoid' bottom: 'relu' top: 'b' }\n#.caffemodel"
    path.write_bytes(net.SerializeToString())
    convert(path, folder / "nsfw.pkl", folder / "net.prototxt")
    types = [spec.type for spec in read_prototxt(folder / "net.prototxt")]
    return "net.caffemodel is text of one line" if types == ["Input", "ReLU"] else types


def _rendered(net):
    def carry_out(folder):
        (folder / "net.caffemodel").write_bytes(net.SerializeToString())
        convert(folder / "net.caffemodel", folder / "nsfw.pkl", folder / "net.prototxt")
        return (folder / "net.prototxt").read_text()

    return carry_out


def source(kind, settings, blobs=()):
    """A caffemodel of a data source and a convolution."""
    net = text_format.Parse(
        f'layer {{ name: "data" type: "{kind}" top: "data" {settings} }}'
        + convolution("num_output: 1 kernel_size: 1").removeprefix(INPUT),
        NetParameter(),
    )
    for shape in blobs:
        net.layer[1].blobs.add(data=[1.0] * prod(shape)).shape.dim.extend(shape)
    return net


BILLIONS = "memory_data_param { channels: 4294967295 height: 1 width: 1 }"
RENDERED = {
    "means of billions of channels": (
        source("MemoryData", f"{BILLIONS} transform_param {{ mean_value: 1 }}"),
        broken("layer 'data' .*got 4294967295 channels"),
    ),
    "a million means": (
        source("Data", f"transform_param {{ crop_size: 8 {'mean_value: 1 ' * 1_000_000} }}", [(1, 3, 1, 1)]),
        broken("layer 'data' .*got 1000000 means, expected 1, or 3"),
    ),
    "filters of one dimension": (
        source("Data", "transform_param { crop_size: 8 }", [(3,)]),
        broken("layer 'data' .*does not say how large"),
    ),
    "a split of nothing": (
        text_format.Parse('layer { name: "s" type: "Split" top: "a" }' + layer("r", bottom="a"), NetParameter()),
        r"PrototxtError: /\S+/net\.caffemodel: layer 's' .*got 0 bottoms, expected 1",
    ),
    "4000 splits of splits, the last of which is changed": (
        text_format.Parse(
            INPUT
            + "".join(layer(f"s{n}", "Split", f"s{n - 1}" if n else "data") for n in range(4000))
            + layer("r", bottom="s3999", top="s3999"),
            NetParameter(),
        ),
        r'(?s).*bottom: "data"\s+top: "s3999"\n}\nlayer \{\s+name: "r"\s+type: "ReLU"\s+bottom: "s3999"',
    ),
}
for name, (net, outcome) in RENDERED.items():
    ATTACKS.append(Attack("cost", f"conversion: {name}", _rendered(net), outcome))


@ATTACKS.on("networks", "PrototxtError: .*nsfw.pkl: .*it looks like a pickle")
def weights_and_architecture_swapped(folder):
    from open_nsfw import get_scorer, model_files

    return get_scorer(*reversed(model_files()))


# What would be waited for, or read, for ever

UNENDING = {"a pipe": lambda path: os.mkfifo(path), "a device": lambda path: path.symlink_to("/dev/zero")}
READERS = {
    "prototxt": read_prototxt,
    "caffemodel": read_caffemodel,
    "weights": load_weights,
    "checkpoint": lambda path: Checkpoint(path).read(),
    "architecture of a Scorer": lambda path: Scorer(WEIGHTS, path),
    "weights of a Scorer": lambda path: Scorer(path, ARCHITECTURE),
}


def _unending(make, read):
    def carry_out(folder):
        make(folder / "file")
        return read(folder / "file")

    return carry_out


for what, make in UNENDING.items():
    for kind, read in READERS.items():
        told = r"(NotRegularError|CheckpointError): /\S+/file: .*is a pipe or a device"
        ATTACKS.append(Attack("cost", f"{kind}: {what}", _unending(make, read), told))


@ATTACKS.on("cost", "PrototxtError: .*got 1099511627776 bytes, expected at most 4194304 of text")
def _an_architecture_of_a_terabyte_without_a_byte_on_the_disk(folder):
    with open(folder / "deploy.prototxt", "wb") as file:
        file.truncate(1 << 40)
    return Scorer(WEIGHTS, folder / "deploy.prototxt")
