"""What all tests need: Theano's repairs before any test module imports Theano."""

import theano_cpu  # noqa: F401
