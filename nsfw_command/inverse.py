"""``open-nsfw inverse PICTURE --target SCORE --out FILE``: change a picture invisibly, its score as asked."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from nsfw_command.arguments import NOT_WRITTEN, also_read, checked, file_path, positive, unwritable
from nsfw_command.terminal import complain, printable
from nsfw_experiments.inverse.target import CLASSIC, FAMILIES, check_robust, check_target, check_tolerance
from nsfw_model.checks import check_whole

#: File name extensions of formats that keep every pixel's value.
LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".ppm")
LOSSY = (".jpg", ".jpeg")
FAILED, REFUSED, NOT_REACHED, INTERRUPTED = 1, 2, 3, 130


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
    """
    parser = subparsers.add_parser(
        "inverse",
        help="change a picture's score without visible change",
        description="Change a picture as little as possible so that its score becomes the one asked for.",
        epilog=f"exit code: 0 target reached, {FAILED} the picture could not be read or written,"
        f" {REFUSED} wrong arguments, {NOT_REACHED} target not reached (the closest result is written, if any came"
        " closer),"
        f" {NOT_WRITTEN} it could not be written, {INTERRUPTED} interrupted by any signal before the target was reached"
        " (an existing file stays)",
    )
    parser.add_argument("picture", metavar="PICTURE")
    parser.add_argument(
        "--target", required=True, type=checked(check_target), metavar="SCORE", help="0 to 1, sfw or nsfw"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=file_path,
        metavar="FILE",
        help=f"result, one of {', '.join(LOSSLESS)}; with --robust also .jpg",
    )
    parser.add_argument(
        "--robust",
        action="store_true",
        help="make the change survive what happens to pictures: JPEG, scaling, crops ...",
    )
    parser.add_argument(
        "--against",
        type=checked(check_robust),
        metavar="FAMILY,...",
        help=f"--robust, against some only: {', '.join(FAMILIES)}; classic is the first {len(CLASSIC)}",
    )
    parser.add_argument("--full-resolution", action="store_true", help="keep the size (default: 256x256)")
    parser.add_argument("--iterations", type=positive, default=100, metavar="N", help="default: 100")
    parser.add_argument(
        "--tolerance",
        type=checked(check_tolerance),
        default=0.01,
        metavar="T",
        help="how far off the target the score may be (default: 0.01)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of --robust's transformations")
    parser.add_argument("--force", action="store_true", help="overwrite an existing FILE")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Check everything that can be checked, search, write the result and score what was written.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code.
    """
    problem = _output_problem(args)
    if problem:
        complain(problem, "open-nsfw inverse")
        return REFUSED
    from nsfw_model.preprocess import PictureError

    try:
        check_whole("seed", args.seed, least=0)
        return _invert(args)
    except PictureError as error:
        complain(error, "open-nsfw inverse")
        return FAILED
    except ValueError as error:
        complain(error, "open-nsfw inverse")
        return REFUSED


def _output_problem(args: Namespace) -> str | None:
    """Say what is wrong with the output path, before anything is computed."""
    extension = args.out.suffix.lower()
    if extension not in LOSSLESS + LOSSY:
        return f"{args.out}: expected a name ending in {', '.join(LOSSLESS)} (with --robust also .jpg)"
    if extension in LOSSY and not (args.robust or args.against):
        return f"{args.out}: saving as JPEG would undo the change; take {', '.join(LOSSLESS)}, or --robust"
    if args.out.is_dir():
        return f"{args.out}: is a folder"
    return also_read([args.out], [args.picture]) or unwritable(args.out, args.force)


def _invert(args: Namespace) -> int:
    """Search, write, verify and report."""
    from nsfw_experiments.inverse import inverse, read_pixels
    from nsfw_experiments.inverse.appearance import opened_with_appearance
    from nsfw_experiments.inverse.callbacks import ProgressBar
    from nsfw_experiments.inverse.eot import robustness_table
    from nsfw_experiments.inverse.wild import wild_table
    from nsfw_model.outputs import save_picture
    from nsfw_model.picture import PictureError
    from open_nsfw import nsfw_score

    source, appearance = opened_with_appearance(args.picture)
    robust, extension = args.against or args.robust, args.out.suffix.lower()
    read_pixels(source, args.full_resolution, bool(robust))  # a bad picture is told before the network is loaded
    if appearance.unkept:
        raise PictureError(f"{args.picture}: {appearance.unkept}: convert the picture to sRGB first")
    flaw = appearance.flaw_in(extension)
    if flaw:
        raise ValueError(f"{args.out}: {flaw}; take .png")
    with ProgressBar(args.iterations) as progress_bar:
        picture, record = inverse(
            args.picture,
            args.target,
            iterations=args.iterations,
            tolerance=args.tolerance,
            full_resolution=args.full_resolution,
            robust=robust,
            seed=args.seed,
            callback=progress_bar,
        )
    options: dict[str, Any] = {**appearance.saving(), **({"quality": 95} if extension in LOSSY else {})}
    if not record.reached and (not record.linf or (record.interrupted and args.out.exists())):
        reason = "interrupted" if record.interrupted else "no change that was tried came closer to the target"
        complain(f"{reason}; {args.out} is not written", "open-nsfw inverse")
        return INTERRUPTED if record.interrupted else NOT_REACHED
    save_picture(picture, args.out, overwrite=args.force, **options)
    written = nsfw_score(args.out)
    print(record)
    if record.robustness_grid:
        print(robustness_table(record.robustness_grid))
    if record.wild:
        print(wild_table(record.wild))
    print(f"written     {printable(str(args.out))}, scored again: {written:.6f}")
    if record.reached and record.meets(written):
        return 0
    return INTERRUPTED if record.interrupted else NOT_REACHED
