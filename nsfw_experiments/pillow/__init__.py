"""Pillow's own steps, value for value, and their gradients.

Its files::

    jpeg             libjpeg-turbo's coder as Pillow calls it
    resize           Pillow's BILINEAR
    edits            crops, tones, filters, rotations, scales and other codecs
    preprocessing    JPEG, BILINEAR and the scorer's other steps, one after the other
    theano_ops       JPEG and BILINEAR as Theano operations
"""
