"""Versions in the keys by which Theano finds compiled modules again: without one, each process compiles anew."""

from __future__ import annotations

from typing import Any

from theano_compat.import_hook import after


@after("theano.gof.op")
def version_code_by_its_text(op: Any) -> bool:
    """Python hashes text differently in each process: operations in C files would be compiled anew by each"""
    import hashlib

    plain = op.COp.c_code_cache_version

    def c_code_cache_version(self: Any) -> tuple[Any, ...]:
        digest = hashlib.sha256("\0".join(self.func_codes).encode()).digest()
        return (int.from_bytes(digest[:7], "big"), *plain(self)[1:])

    op.COp.c_code_cache_version = c_code_cache_version
    return True


@after("theano.gof.cc")
def version_operations_without_properties(cc: Any) -> bool:
    """Theano counts the properties of an operation among its versions, and takes none (``()``) for no version"""
    plain = cc.CLinker.cmodule_key_

    def cmodule_key_(self: Any, fgraph: Any, *args: Any, **kwargs: Any) -> Any:
        key = plain(self, fgraph, *args, **kwargs)
        if key is None or key[0]:
            return key
        version = []
        for node in self.schedule(fgraph):
            if hasattr(node.op, "c_code_cache_version_apply"):
                version.append(node.op.c_code_cache_version_apply(node))
            if getattr(node.op, "__props__", ()):
                version.append(node.op.__props__)
            version += [variable.type.c_code_cache_version() for variable in [*node.inputs, *node.outputs]]
        return (tuple(version), key[1]) if all(version) else key

    cc.CLinker.cmodule_key_ = cmodule_key_
    return True
