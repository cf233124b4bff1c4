"""What ``--help`` tells of the options of all subcommands is so."""

import argparse
import re

import pytest

from nsfw_command.main import make_parser
from nsfw_experiments.evolution import primitives, settings
from nsfw_server.limits import Limits

(SUBCOMMANDS,) = (action.choices for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
OPTIONS = {
    (command, action.option_strings[-1]): action
    for command, parser in SUBCOMMANDS.items()
    for action in parser._actions
    if action.option_strings and not isinstance(action, argparse._HelpAction)
}
TOLD = {
    of: told[1]
    for of, action in OPTIONS.items()
    if (told := re.search(r"default: ([\w./-]+)\b(?! \d)", action.help))
    and told[1] not in ("the", "that", "those", "all", "Theano")
    and action.nargs != 0
}
#: Those whose default comes after the environment or another option is known.
LATER = {
    **{("serve", f"--{name.replace('_', '-')}"): value for name, value in vars(Limits()).items()},
    ("evolve", "--corners"): 4,
    ("evolve", "--population"): settings.POPULATION[settings.STRATEGY],
    ("evolve", "--seed"): settings.SEED,
    ("evolve", "--shapes"): settings.SHAPES,
    ("evolve", "--size"): "x".join(map(str, primitives.CANVAS)),
    ("evolve", "--strategy"): settings.STRATEGY,
}


@pytest.mark.parametrize("of", TOLD, ids=" ".join)
def test_a_default_is_what_help_tells(of):
    default = OPTIONS[of].default if of not in LATER else LATER[of]
    assert (f"{default:g}" if isinstance(default, float) else str(default)) == TOLD[of]


SILENT = {
    ("evolve", "--until"): float("inf"),
    ("inverse", "--seed"): 0,
    ("warm-up", "--also"): [],
}


@pytest.mark.parametrize("of", [of for of in OPTIONS if of not in TOLD], ids=" ".join)
def test_an_option_is_off_unless_help_tells_its_default(of):
    default = OPTIONS[of].default
    assert default == SILENT[of] if of in SILENT else default in (None, False)
