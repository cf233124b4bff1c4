"""Experiments on top of the scorer: painting, inverse scoring, and the models they need."""
