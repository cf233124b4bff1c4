"""Pillow's own steps, value for value, and their gradients.

Its files::

    jpeg             libjpeg-turbo's coder as Pillow calls it
    resize           Pillow's BILINEAR
    preprocessing    both and the scorer's other steps, one after the other
    theano_ops       both as Theano operations
"""
