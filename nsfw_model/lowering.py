"""What Caffe's layers compute, told to `theano_cpu.fuse`.

Importing this module is enough: networks of `nsfw_model.layers` can be fused from then on. The rules stand beside
the layers.
"""

import nsfw_model.layers  # noqa: F401
