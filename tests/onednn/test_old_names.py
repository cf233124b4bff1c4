"""Names that `theano_cpu` has changed are still found, with a DeprecationWarning that says the new one."""

import importlib
import sys

import pytest

from theano_cpu import ir, lowering, onednn

RENAMED = [
    ("theano_cpu.compile", "is_lean", "theano_cpu.compile.allows_fast_compile"),
    ("theano_cpu.ops", "lean_mode", "theano_cpu.ops.fast_compile"),
    ("theano_cpu.ops", "OneDnnUnavailable", "theano_cpu.onednn.runtime.OneDnnUnavailableError"),
    ("theano_cpu.ops", "helper", "theano_cpu.onednn.runtime.native_module"),
    ("theano_cpu.onednn", "OneDnnUnavailable", "theano_cpu.onednn.runtime.OneDnnUnavailableError"),
    ("theano_cpu.onednn", "UnknownEngine", "theano_cpu.onednn.runtime.UnknownEngineError"),
    ("theano_cpu.onednn", "helper", "theano_cpu.onednn.runtime.native_module"),
    ("theano_cpu.onednn.runtime", "OneDnnUnavailable", "theano_cpu.onednn.runtime.OneDnnUnavailableError"),
    ("theano_cpu.onednn.runtime", "UnknownEngine", "theano_cpu.onednn.runtime.UnknownEngineError"),
    ("theano_cpu.onednn.runtime", "helper", "theano_cpu.onednn.runtime.native_module"),
    ("theano_cpu.onednn.rewrites", "lean_mode", "theano_cpu.onednn.rewrites.fast_compile"),
    ("theano_cpu.onednn.activation", "Mask", "theano_cpu.onednn.activation.ReluGradient"),
    ("theano_cpu.onednn.activation", "mask", "theano_cpu.onednn.activation.relu_gradient"),
    ("theano_cpu.onednn.dense", "Product", "theano_cpu.onednn.dense.Gemm"),
    ("theano_cpu.onednn.pooling", "window_count", "theano_cpu.shapes.pool_output_length"),
    ("theano_cpu.lowering", "describe", "theano_cpu.lowering.lower"),
    ("theano_cpu.lowering", "describes", "theano_cpu.lowering.lowering_rule"),
    ("theano_cpu.lowering", "describe_nonlinearity", "theano_cpu.lowering.lower_nonlinearity"),
    ("theano_cpu.lowering", "Convolution", "theano_cpu.ir.Convolution"),
    ("theano_cpu.fuse.layers", "AffineLayer", "theano_cpu.fuse.layers.FusedAffineLayer"),
    ("theano_cpu.fuse.layers", "ConvolutionLayer", "theano_cpu.fuse.layers.FusedConvolutionLayer"),
    ("theano_cpu.fuse.layers", "ElementwiseLayer", "theano_cpu.fuse.layers.FusedElementwiseLayer"),
    ("theano_cpu.fuse.layers", "GlobalPoolLayer", "theano_cpu.fuse.layers.FusedGlobalPoolLayer"),
    ("theano_cpu.fuse.layers", "InnerProductLayer", "theano_cpu.fuse.layers.FusedInnerProductLayer"),
    ("theano_cpu.fuse.layers", "PoolLayer", "theano_cpu.fuse.layers.FusedPoolLayer"),
    ("theano_cpu.fuse.layers", "SoftmaxLayer", "theano_cpu.fuse.layers.FusedSoftmaxLayer"),
    ("theano_cpu.fuse.layers", "SubsampleLayer", "theano_cpu.fuse.layers.FusedSubsampleLayer"),
]


@pytest.mark.parametrize("module, old, new", RENAMED)
def test_an_old_name_gives_the_new_object_and_warns(module, old, new):
    home, _, name = new.rpartition(".")
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{old} is now {new}"):
        found = getattr(importlib.import_module(module), old)
    assert found is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("old, new", [
    ("describe", "lowering"), ("fused_layers", "fuse.layers"), ("activation", "onednn.activation"),
    ("convolution", "onednn.convolution"), ("dense", "onednn.dense"), ("layout", "onednn.layout"),
    ("operation", "onednn.operation"), ("pooling", "onednn.pooling"), ("rewrites", "onednn.rewrites"),
])  # fmt: skip
def test_a_module_that_moved_is_imported_by_its_old_name_and_warns(old, new, monkeypatch):
    monkeypatch.delitem(sys.modules, f"theano_cpu.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=rf"theano_cpu\.{old} is now theano_cpu\.{new}"):
        module = importlib.import_module(f"theano_cpu.{old}")
    assert module is importlib.import_module(f"theano_cpu.{new}")


def test_what_the_documentation_once_imported_from_describe_is_still_found(monkeypatch):
    monkeypatch.delitem(sys.modules, "theano_cpu.describe", raising=False)
    with pytest.warns(DeprecationWarning) as warned:
        from theano_cpu.describe import Affine, Convolution, current_value, describe, describes, parameter
    assert (Affine, Convolution) == (ir.Affine, ir.Convolution)
    assert (describe, describes) == (lowering.lower, lowering.lowering_rule)
    assert (current_value, parameter) == (lowering.current_value, lowering.parameter)
    assert "theano_cpu.describe is now theano_cpu.lowering" in [str(warning.message) for warning in warned]


def test_all_descriptions_were_once_in_describe():
    with pytest.warns(DeprecationWarning):
        for name in ("Concat", "Elementwise", "Flatten", "GlobalPool", "Identity", "InnerProduct", "Pool", "ReLU"):
            assert getattr(lowering, name) is getattr(ir, name)


@pytest.mark.skipif(not onednn.onednn_available(), reason="oneDNN is not the engine here")
def test_info_is_still_read_under_its_old_key():
    info = onednn.info()
    with pytest.warns(DeprecationWarning, match=r'info\(\)\["helper"\] is now info\(\)\["native"\]'):
        assert info["helper"] == info["native"]
    assert "helper" not in info


def test_info_has_no_other_keys(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    with pytest.raises(KeyError, match="gpu"):
        onednn.info()["gpu"]


@pytest.mark.parametrize("module", sorted({module for module, _, _ in RENAMED}))
def test_a_name_that_never_was_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        importlib.import_module(module).nonsense  # noqa: B018
