"""``open-nsfw explain PICTURE... --out FILE|FOLDER``: show what in a picture raises its score, and what lowers it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsfw_command.arguments import NOT_WRITTEN, also_read, file_path, nonempty, unwritable
from nsfw_command.terminal import complain, printable

if TYPE_CHECKING:
    from nsfw_experiments.explanation import Explanation
    from nsfw_model.scorer import Scorer

#: File name extensions of formats that are written; the first that hold an animation.
ANIMATED = (".gif", ".webp")
EXTENSIONS = (".png", ".jpg", ".jpeg", *ANIMATED)
#: The default method comes first; `nsfw_experiments.explanation.METHODS` has the functions.
METHODS = (
    "class-activation-map",
    "occlusion",
    "integrated-gradients",
    "grad-cam",
    "smooth-grad",
    "input-gradient",
)
FAILED, REFUSED = 1, 2


class _InTheWayError(ValueError):
    """A file lies where one is to be written."""


def add_parser(subparsers) -> None:
    """Add the subcommand to the command line's parser.

    Parameters
    ----------
    subparsers : argparse._SubParsersAction
    """
    parser = subparsers.add_parser(
        "explain",
        help="show where a picture's score comes from",
        description="Show what in a picture raises its score (red) and what lowers it (blue), beside the picture.",
        epilog=f"exit code: 0 all were explained, {FAILED} a picture could not be read (the others are written),"
        f" {REFUSED} wrong arguments, or a file is in the way (the others are written),"
        f" {NOT_WRITTEN} a file could not be written",
    )
    parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    parser.add_argument(
        "--out",
        required=True,
        type=file_path,
        metavar="FILE|FOLDER",
        help=f"of one picture a file, {', '.join(EXTENSIONS)}; of several an existing folder, in which each is a .png,"
        " or a .gif where the picture has several frames",
    )
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help=f"default: {METHODS[0]}")
    parser.add_argument("--layer", metavar="NAME", help="of grad-cam: a layer of the network (default: the last)")
    parser.add_argument(
        "--nsfw-pkl", type=nonempty, metavar="FILE", help="weights (default: those installed; see open-nsfw info)"
    )
    parser.add_argument("--prototxt", type=nonempty, metavar="FILE", help="architecture (default: that installed)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Explain each picture and write what came of it; what cannot be is a line of its own and does not stop the others.

    Parameters
    ----------
    args : argparse.Namespace
        What the parser of `add_parser` makes.

    Returns
    -------
    int
        The exit code.
    """
    from open_nsfw import PictureError, get_scorer

    problem = _output_problem(args)
    if problem:
        complain(problem, "open-nsfw explain")
        return REFUSED
    scorer = get_scorer(args.nsfw_pkl, args.prototxt)
    exit_code = 0
    for picture in args.pictures:
        try:
            _explain(picture, args, scorer)
        except PictureError as error:
            complain(error, "open-nsfw explain")
            exit_code = max(exit_code, FAILED)
        except _InTheWayError as error:
            complain(error, "open-nsfw explain")
            exit_code = REFUSED
        except ValueError as error:
            complain(error, "open-nsfw explain")
            return REFUSED
    return exit_code


def _output_problem(args: Namespace) -> str | None:
    """Say what is wrong with the output path, before anything is computed."""
    out = args.out
    if out.is_dir():
        names = [_stem(picture) for picture in args.pictures]
        twice = sorted({name for name in names if names.count(name) > 1})
        return f"{out}: got several pictures named {twice[0]}, expected one file for each" if twice else None
    if len(args.pictures) > 1:
        return f"{out}: there is no such folder; several pictures need one"
    if out.suffix.lower() not in EXTENSIONS:
        return f"{out}: expected a folder, or a name ending in {', '.join(EXTENSIONS)}"
    return also_read([out], _sources(args)) or unwritable(out, args.force)


def _sources(args: Namespace) -> list[str | None]:
    return [*args.pictures, args.nsfw_pkl, args.prototxt]


def _stem(picture: str) -> str:
    return Path(picture).stem


def _explain(picture: str, args: Namespace, scorer: Scorer) -> None:
    """Explain the frames of a picture, write them, and report."""
    from nsfw_experiments.explanation import explain
    from nsfw_model.outputs import save_picture
    from nsfw_scale.frames import read_frames

    parameters = {} if args.layer is None else {"layer": args.layer}
    still = not args.out.is_dir() and args.out.suffix.lower() not in ANIMATED
    seconds: list[float] = []
    explanations: list[Explanation] = []
    for frame in read_frames(picture):
        seconds.append(frame.seconds)
        explanations.append(explain(frame.picture, args.method, scorer=scorer, **parameters))
        if still:
            break
    path = args.out / f"{_stem(picture)}{_extension(explanations)}" if args.out.is_dir() else args.out
    problem = also_read([path], _sources(args)) or unwritable(path, args.force)
    if problem:
        raise _InTheWayError(problem)
    limit = max(explanation.limit for explanation in explanations)
    first, *others = (explanation.side_by_side(limit) for explanation in explanations)
    save_picture(first, path, overwrite=args.force, **(_animation(others, seconds) if others else {}))
    score = max(explanation.score for explanation in explanations)
    print(f"{score:.6f}  {printable(str(path))}")


def _extension(explanations: list[Explanation]) -> str:
    return ANIMATED[0] if len(explanations) > 1 else EXTENSIONS[0]


def _animation(others: list[Any], seconds: list[float]) -> dict[str, Any]:
    """What saving an animation takes: a frame stays until the next, and the last as long as the one before."""
    durations = [round(1000 * (later - sooner)) for sooner, later in zip(seconds, seconds[1:])]
    return {"save_all": True, "append_images": others, "duration": [*durations, durations[-1]], "loop": 0}
