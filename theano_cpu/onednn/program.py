"""Operations of a graph that become one, so that nothing is between them when they run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import theano.tensor as T

from theano_cpu.onednn.operation import WIDTHS, OneDnnOp
from theano_cpu.onednn.runtime import native_module


class Step(NamedTuple):
    """An operation of a program, and the numbers of the values that it reads.

    Values have numbers: first those of the program's inputs, then the outputs of each step.
    """

    op: OneDnnOp
    inputs: tuple[int, ...]


class Described(NamedTuple):
    """A program as the native module takes it.

    Attributes
    ----------
    steps : list of (str, str, dict, tuple of int)
        Names of operations, their labels, settings, and the numbers of what they read: first the values given, then
        those that are kept, then the outputs of each step.
    results : tuple of int
    given, kept : list of Theano variables
    input_widths, output_widths : tuple of int
        Bytes of a number.
    """

    steps: list[tuple[Any, ...]]
    results: tuple[int, ...]
    given: list[Any]
    kept: list[Any]
    input_widths: tuple[int, ...]
    output_widths: tuple[int, ...]


class Program(OneDnnOp):
    """Operations one after another, as one.

    Its inputs are what the steps read and do not compute themselves. Those that are constants of the graph are kept.

    Parameters
    ----------
    steps : tuple of Step
    results : tuple of int
        Numbers of the values that are its outputs, each once.

    Examples
    --------
    >>> import theano.tensor as T
    >>> from theano_cpu.onednn.layout import Layout
    >>> from theano_cpu.onednn.pooling import GlobalPool
    >>> op = Program((Step(Layout(True), (0,)), Step(GlobalPool(), (1,))), results=(2,))
    >>> op(T.tensor4("x")).type
    TensorType(float32, matrix)
    """

    __props__ = ("steps", "results")

    def __init__(self, steps: tuple[Step, ...], results: tuple[int, ...]):
        self.steps, self.results = steps, results

    @classmethod
    def of(cls, nodes: Sequence[Any], inputs: Sequence[Any], results: Sequence[Any]) -> Program:
        """Make a program of a graph.

        Parameters
        ----------
        nodes : sequence of theano.gof.Apply
            In an order in which they can be computed.
        inputs, results : sequence of Theano variables

        Returns
        -------
        Program
        """
        numbers = {variable: number for number, variable in enumerate(inputs)}
        steps = []
        for node in nodes:
            steps.append(Step(node.op, tuple(numbers[x] for x in node.inputs)))
            numbers.update(zip(node.outputs, itertools.count(len(numbers))))
        return cls(tuple(steps), tuple(numbers[result] for result in results))

    def nodes(self, inputs: Sequence[Any]) -> list[Any]:
        """Apply the steps.

        Parameters
        ----------
        inputs : sequence of Theano variables

        Returns
        -------
        list of theano.gof.Apply
            One for each step.
        """
        values, nodes = list(inputs), []
        for step in self.steps:
            nodes.append(step.op.make_node(*(values[number] for number in step.inputs)))
            values += nodes[-1].outputs
        return nodes

    def make_node(self, *inputs: Any) -> Any:
        values = [*inputs, *(output for node in self.nodes(inputs) for output in node.outputs)]
        return self.apply(inputs, *(values[number].type() for number in self.results))

    def described(self, node: Any, frozen: Callable[[int], bool] | None = None) -> Described:
        """Say what the native module is to do for a node.

        Parameters
        ----------
        node : theano.gof.Apply
        frozen : callable, optional
            Whether an input, by its number, never changes; left out, constants of the graph do not.

        Returns
        -------
        Described
        """
        is_kept = frozen or (lambda i: isinstance(node.inputs[i], T.Constant))
        count = len(node.inputs)
        given, kept = [i for i in range(count) if not is_kept(i)], [i for i in range(count) if is_kept(i)]
        numbers = {old: new for new, old in enumerate([*given, *kept])}
        steps = [
            self._described(step, inner, numbers, set(kept)) for step, inner in zip(self.steps, self.nodes(node.inputs))
        ]
        return Described(
            steps,
            self.results,
            [node.inputs[i] for i in given],
            [node.inputs[i] for i in kept],
            tuple(WIDTHS[node.inputs[i].dtype] for i in given),
            tuple(WIDTHS[variable.dtype] for variable in node.outputs),
        )

    @staticmethod
    def _described(step: Step, node: Any, numbers: dict[int, int], kept: set[int]) -> tuple[Any, ...]:
        settings = step.op.settings(node, lambda i: step.inputs[i] in kept)
        return step.op.native_name, str(step.op), settings, tuple(numbers.get(value, value) for value in step.inputs)

    def _thunk(self, node: Any, input_cells: list, output_cells: list, frozen: Callable[[int], bool]) -> Any:
        described = self.described(node, frozen)
        cells = dict(zip(node.inputs, input_cells))
        return native_module().make_program(
            str(self),
            described.steps,
            described.results,
            [cells[variable][0] for variable in described.kept],
            [cells[variable] for variable in described.given],
            output_cells,
            described.input_widths,
            described.output_widths,
        )

    def __str__(self) -> str:
        return f"Program{{{len(self.steps)} steps}}"


def join(fgraph: Any) -> None:
    """Make one of all operations of a graph that need not wait for others in between.

    Parameters
    ----------
    fgraph : theano.gof.FunctionGraph
        Changed in place.
    """
    for nodes in _groups(fgraph.toposort()):
        if len(nodes) > 1:
            _replace(fgraph, nodes)


def _groups(nodes: Sequence[Any]) -> list[list[Any]]:
    """Operations by how often the way to them leaves these operations and comes back: those between are done then."""
    returns: dict[Any, int] = {}
    groups: dict[int, list[Any]] = {}
    for node in nodes:
        ours = isinstance(node.op, OneDnnOp)
        owners = [variable.owner for variable in node.inputs if variable.owner is not None]
        returns[node] = max((_next(returns[owner], ours) for owner in owners), default=0 if ours else -1)
        if ours:
            groups.setdefault(returns[node], []).append(node)
    return list(groups.values())


def _next(number: int, ours: bool) -> int:
    """Even numbers are those of these operations, odd ones those of others before or after them."""
    return number + ((number % 2 == 0) != ours)


def _replace(fgraph: Any, nodes: list[Any]) -> None:
    computed = {output for node in nodes for output in node.outputs}
    inputs = list(dict.fromkeys(x for node in nodes for x in node.inputs if x not in computed))
    members = set(nodes)
    results = [
        output
        for node in nodes
        for output in node.outputs
        if any(client == "output" or client not in members for client, _ in output.clients)
    ]
    replacements = zip(results, Program.of(nodes, inputs, results)(*inputs, return_list=True))
    fgraph.replace_all_validate(list(replacements), reason="theano_cpu_join")
