"""``open-nsfw convert MODEL.caffemodel``: Caffe's weights to nsfw.pkl, its network to deploy.prototxt."""

from __future__ import annotations

import hashlib
import sys
import warnings
from argparse import Namespace, _SubParsersAction
from pathlib import Path

from nsfw_command.arguments import NOT_WRITTEN, also_read, nonempty
from nsfw_command.terminal import complain, printable


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
        What `argparse.ArgumentParser.add_subparsers` gives.
    """
    parser = subparsers.add_parser(
        "convert",
        help="convert a caffemodel to nsfw.pkl",
        description="Convert the weights of a caffemodel, such as a fine-tuned one, to nsfw.pkl.",
        epilog="exit code: 0 converted, 1 the caffemodel is not understood or a file is in the way, "
        f"{NOT_WRITTEN} a file could not be written, and none was",
    )
    parser.add_argument("caffemodel", metavar="MODEL.caffemodel", help="Caffe's binary file of weights")
    parser.add_argument("-o", "--output", type=nonempty, default="nsfw.pkl", metavar="FILE", help="default: nsfw.pkl")
    network = parser.add_mutually_exclusive_group()
    network.add_argument(
        "--prototxt", type=nonempty, metavar="FILE", help="also write the network for inference, as in deploy.prototxt"
    )
    network.add_argument(
        "--deploy",
        type=nonempty,
        metavar="FILE",
        help="a deploy.prototxt that is there already: weights of layers that it does not have are left out",
    )
    parser.add_argument(
        "--input-shape",
        nargs=3,
        type=int,
        metavar=("CHANNELS", "HEIGHT", "WIDTH"),
        help="the size of a picture, where the caffemodel does not say it",
    )
    parser.add_argument(
        "--means",
        nargs=3,
        type=float,
        metavar=("BLUE", "GREEN", "RED"),
        help="what was taken from the values 0 to 255 of pictures in training, where the caffemodel does not say it",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Convert ``args.caffemodel`` and say on standard output what was written.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code.
    """
    from nsfw_model.caffemodel import convert
    from nsfw_model.outputs import OutputError

    outputs = [args.output] + ([args.prototxt] if args.prototxt else [])
    try:
        if len({Path(output).resolve() for output in outputs}) < len(outputs):
            raise ValueError(f"--prototxt: got {args.prototxt}, expected another file than that of the weights")
        problem = also_read(outputs, [args.caffemodel, args.deploy])
        if problem:
            raise ValueError(problem)
        for output in outputs:
            if Path(output).exists() and not args.force:
                raise FileExistsError(f"{output}: exists; --force overwrites it")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            weights = convert(
                args.caffemodel, args.output, args.prototxt, args.input_shape, args.means, deploy_path=args.deploy
            )
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        complain(error, "open-nsfw convert")
        return 1
    for warning in caught:
        complain(warning.message, "open-nsfw convert")
    values = sum(blob.size for _, blobs in weights for blob in blobs)
    files = [output for output in outputs if Path(output).is_file()]
    # What goes through a pipe cannot be read again, and standard output may be that pipe
    report = sys.stdout if files == outputs else sys.stderr
    print(f"{len(weights)} layers with {values:,} values", file=report)
    for output in files:
        print(f"{printable(output)}  sha256 {hashlib.sha256(Path(output).read_bytes()).hexdigest()}", file=report)
    return 0
