"""An interrupt of a notebook's kernel ends an experiment quietly: the best stays, and the cell goes on from there."""

import itertools
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).parents[2]
SECONDS = 600

EVOLUTION = """
from PIL import Image
from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.callbacks import LiveEvolution, ProgressBar
from nsfw_experiments.evolution.fitness import Psnr
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.strategies import original_toolbox

target = Psnr(Image.new("RGB", (24, 16), "orange"), (24, 16))
experiment = Evolution(original_toolbox(Circles((24, 16)), 5, target, population=4))

def go_on():
    with LiveEvolution(seconds=0) as figure, ProgressBar(10**6) as progress:
        experiment.run(10**6, callbacks=[progress, figure])
"""
INVERSION = """
from nsfw_experiments.inverse import Inversion
from nsfw_experiments.inverse.callbacks import LiveInverse, ProgressBar

experiment = Inversion("img/coffee.jpg", 0.98, iterations=24)

def go_on():
    with LiveInverse(seconds=0) as figure, ProgressBar(24) as progress:
        experiment.run(progress, figure)
"""


@pytest.fixture
def kernel():
    manager, client = start_new_kernel(cwd=str(ROOT))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code, at_picture=lambda number: None):
    """What a cell prints; its errors fail. Calls a function whenever the cell shows a picture, with its number."""
    texts, pictures = [], itertools.count(1)

    def take(message):
        content = message["content"]
        assert message["msg_type"] != "error", "\n".join(content["traceback"])
        if content.get("name") == "stdout":
            texts.append(content["text"])
        if "image/png" in content.get("data", ()):
            at_picture(next(pictures))

    reply = client.execute_interactive(code, timeout=SECONDS, output_hook=take)
    assert reply["content"]["status"] == "ok"
    return "".join(texts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code, next_cell",
    [(EVOLUTION, "experiment.run(experiment.generation + 3)"), (INVERSION, "go_on()")],
    ids=["evolution", "inversion"],
)
def test_an_interrupt_ends_a_cell_quietly_and_the_next_goes_on(kernel, code, next_cell):
    manager, client = kernel
    run(client, code)
    report = "print(experiment.interrupted, experiment.evaluations, bool(experiment.best))"
    run(client, "go_on()", at_picture=lambda number: number == 6 and manager.interrupt_kernel())
    interrupted, evaluations, best = run(client, report).split()
    assert (interrupted, best) == ("True", "True")
    run(client, next_cell)
    ended, all_evaluations, _ = run(client, report).split()
    assert ended == "False" and int(all_evaluations) > int(evaluations)
