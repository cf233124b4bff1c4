"""Explain a picture with Captum on PyTorch, and keep what our tests are compared with.

    python benchmarks/captum_reference.py [FILE]

It writes tests/explanation/data/captum.npz (or FILE): of each method some values, which `sampled` takes, computed in
float64; of occlusion, whose passes are many, for the first picture only. Where Captum draws random noise, or chooses
the steps of integrated gradients, it is given ours: all the rest is its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from captum.attr import IntegratedGradients, LayerGradCam, NoiseTunnel, Occlusion, Saliency  # noqa: E402
from explained import LAYER, NOISE, SAMPLES, STEPS, network_inputs, sampled  # noqa: E402
from peers import pytorch_logits  # noqa: E402

from nsfw_experiments.explanation.attribution import blurred  # noqa: E402
from nsfw_experiments.explanation.path_integral import DENSITY  # noqa: E402
from nsfw_model.weights import load_weights  # noqa: E402

BLOCKS = {"grad-cam": LAYER.removeprefix("relu_"), "class-activation-map": "stage3_block2"}


class Network(torch.nn.Module):
    """The network with modules at the blocks that are looked at, since Captum hooks into modules."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleDict({name: torch.nn.Identity() for name in BLOCKS.values()})
        self.logits = pytorch_logits(load_weights(ROOT / "nsfw.pkl"), np.float64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x, lambda name, y: self.blocks[name](y) if name in self.blocks else y)


def attributions(pixels: np.ndarray, network: Network) -> dict[str, torch.Tensor]:
    """Explain a picture by all methods but occlusion: shape (1, channels, rows, columns)."""
    x, baseline = tensors(pixels)
    found = {name: LayerGradCam(network, network.blocks[block]).attribute(x) for name, block in BLOCKS.items()}
    found["input-gradient"] = Saliency(network).attribute(x, abs=False)
    found["smooth-grad"] = smooth_grad(network, x)
    found["integrated-gradients"] = integrated_gradients(network, x, baseline)
    return found


def occlusions(pixels: np.ndarray, network: Network) -> dict[str, torch.Tensor]:
    """Explain a picture by occlusion: shape (1, 1, rows, columns)."""
    x, baseline = tensors(pixels)
    found = {}
    for name, patch, stride in (("occlusion", 32, 32), ("occlusion, overlapping", 64, 48)):
        windows = {"sliding_window_shapes": (3, patch, patch), "strides": (3, stride, stride)}
        found[name] = Occlusion(network).attribute(x, baselines=baseline, **windows)[:, :1]
    return found


def tensors(pixels: np.ndarray) -> list[torch.Tensor]:
    """A picture and the blurred one, in float64."""
    return [torch.from_numpy(values.astype(np.float64))[None] for values in (pixels, blurred(pixels, 12))]


def smooth_grad(network: Network, x: torch.Tensor) -> torch.Tensor:
    """SmoothGrad with NumPy's normal numbers of seed 0."""
    noises = np.random.default_rng(0).standard_normal((SAMPLES, *x.shape[1:]), np.float32)
    tunnel = NoiseTunnel(Saliency(network))
    with mock.patch("torch.normal", lambda mean, std: mean + std * torch.from_numpy(noises)):
        return tunnel.attribute(x, nt_samples=SAMPLES, stdevs=NOISE, abs=False)


def integrated_gradients(network: Network, x: torch.Tensor, baseline: torch.Tensor) -> torch.Tensor:
    """Integrated gradients with midpoints of parts that are the smaller, the closer they are to the baseline."""
    edges = (np.arange(STEPS + 1) / STEPS) ** DENSITY
    steps = (lambda n: np.diff(edges).tolist()), (lambda n: ((edges[1:] + edges[:-1]) / 2).tolist())
    with mock.patch("captum.attr._core.integrated_gradients.approximation_parameters", lambda method: steps):
        return IntegratedGradients(network).attribute(x, baseline, n_steps=STEPS)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "tests/explanation/data/captum.npz"
    network, inputs = Network(), network_inputs()
    rows = [attributions(pixels, network) for pixels in inputs]
    found = {name: [row[name] for row in rows] for name in rows[0]}
    found |= {name: [values] for name, values in occlusions(inputs[0], network).items()}
    np.savez_compressed(path, **{name: [sampled(one.detach()[0]) for one in some] for name, some in found.items()})
    print(f"{path}: {path.stat().st_size} bytes")
