"""The network of a Scorer in float64: what tells a method's own faults from float32's."""

import lasagne
import numpy as np
import theano
import theano.tensor as T
import unoptimised
from theano.configparser import change_flags


class Float64Scorer:
    """What the explanations ask of a `Scorer`, by Theano's own operations and the float32 weights' exact values."""

    def __init__(self, scorer):
        self.output, self.net, self.input_size = scorer.output, scorer.net, scorer.input_size

    def logits(self, x):
        return self._computed(x)[0]

    def logits_and_gradients(self, x):
        return self._computed(x, gradients_of=("input",))

    def logits_and_values(self, x, name):
        return self._computed(x, (name,))

    def logits_and_layer_gradients(self, x, name):
        return self._computed(x, (name,), gradients_of=(name,))

    def _computed(self, x, layers=(), gradients_of=()):
        """Logits, then the values of layers, then the gradients of layers or of the input."""
        logits, values = self._variables(layers)
        variables = {"input": self._input, **dict(zip(layers, values))}
        gradients = T.grad(logits.sum(), [variables[name] for name in gradients_of]) if gradients_of else []
        return unoptimised.function([self._input], [logits, *values, *gradients])(np.asarray(x, np.float64))

    def _variables(self, layers):
        self._input = T.dtensor4()
        asked = [self.output.input_layer, *(self.net[name] for name in layers)]
        with change_flags(floatX="float64"):
            outputs = lasagne.layers.get_output(asked, self._input, deterministic=True)
        doubles = {
            parameter: theano.shared(parameter.get_value().astype(np.float64))
            for parameter in lasagne.layers.get_all_params(self.output)
        }
        classes, *values = theano.clone(outputs, replace=doubles, strict=False)
        return classes[:, 1] - classes[:, 0], values
