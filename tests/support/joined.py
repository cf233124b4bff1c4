"""What a compiled function computes, whether or not its operations have become one."""

from theano_cpu.onednn.program import Program


def operations(function):
    """All operations of a compiled function, in their order: of a program, those of its steps."""
    found = []
    for node in function.maker.fgraph.toposort():
        found += [step.op for step in node.op.steps] if isinstance(node.op, Program) else [node.op]
    return found
