"""``python -m theano_compat``: say on what Theano runs here, and what had to be repaired for it."""

import sys

import theano_compat


def main() -> None:
    """Print versions, the compiler, the BLAS, the folder of compiled modules, and the repairs with their reasons."""
    import lasagne
    import numpy
    import theano

    from theano_compat.bundle import RELEASES, changed_files, is_bundled

    print("Python", sys.version.split()[0], "- NumPy", numpy.__version__, "- Theano", theano.__version__, end="")
    print(" - Lasagne", lasagne.__version__)
    for package in theano, lasagne:
        if is_bundled(package):
            changed = changed_files(RELEASES[package.__name__])
            state = "changed: " + ", ".join(changed) if changed else "as it was released, comes with theano_compat"
        else:
            state = "installed in " + (package.__file__ or "").removesuffix("__init__.py")
        print(f"{package.__name__}: {state}")
    print("compiler:", theano.config.cxx or "none")
    print("BLAS:", theano.config.blas.ldflags or "none")
    print("compiled modules:", theano.config.compiledir)
    for name, reason in theano_compat.applied_repairs():
        print(f"repaired: {name} ({reason})")


if __name__ == "__main__":
    try:
        main()
    except theano_compat.TheanoEnvironmentError as problem:
        sys.exit(str(problem))
