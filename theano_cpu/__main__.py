"""``python -m theano_cpu``: the same as ``python -m theano_compat``."""

from theano_compat.__main__ import main

if __name__ == "__main__":
    main()
