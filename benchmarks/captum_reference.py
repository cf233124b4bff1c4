"""Explain a picture with Captum on PyTorch, and keep what our tests are compared with.

    python benchmarks/captum_reference.py [FILE]

It writes tests/explanation/data/captum.npz (or FILE): of each method some values, which `sampled` takes. Where Captum
draws random noise, or chooses the steps of integrated gradients, it is given ours: all the rest is its own.
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
from explained import LAYER, NOISE, SAMPLES, STEPS, network_input, sampled  # noqa: E402
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
        self.logits = pytorch_logits(load_weights(ROOT / "nsfw.pkl"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x, lambda name, y: self.blocks[name](y) if name in self.blocks else y)


def attributions() -> dict[str, np.ndarray]:
    """Explain the picture by all methods: arrays of shape (rows, columns), or (channels, rows, columns)."""
    pixels = network_input()
    x, baseline = (torch.from_numpy(values)[None] for values in (pixels, blurred(pixels, 12)))
    network = Network()
    found = {name: LayerGradCam(network, network.blocks[block]).attribute(x) for name, block in BLOCKS.items()}
    found["input-gradient"] = Saliency(network).attribute(x, abs=False)
    found["smooth-grad"] = smooth_grad(network, x)
    found["integrated-gradients"] = integrated_gradients(network, x, baseline)
    for name, patch, stride in (("occlusion", 32, 32), ("occlusion, overlapping", 64, 48)):
        found[name] = Occlusion(network).attribute(
            x, (3, patch, patch), strides=(3, stride, stride), baselines=baseline
        )[:, 0]
    return {name: values.detach().numpy()[0] for name, values in found.items()}


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
    np.savez_compressed(path, **{name: sampled(values) for name, values in attributions().items()})
    print(f"{path}: {path.stat().st_size} bytes")
