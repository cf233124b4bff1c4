"""Saved runs: one JSON file, replaced whole after each generation, so that a killed run loses at most one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nsfw_experiments.evolution.run import Evolution

FORMAT = "painting evolution"
VERSION = 1


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that is of another kind of run."""


class Checkpoint:
    """A checkpoint file; called with an `Evolution`, as a watcher is, it saves it.

    Parameters
    ----------
    path : str or Path
        A JSON file, written anew at every call.

    Examples
    --------
    >>> evolution.run(200, watch=[Checkpoint("out/checkpoint.json")])    # doctest: +SKIP
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __call__(self, evolution: Evolution) -> None:
        text = json.dumps({"format": FORMAT, "version": VERSION, **evolution.state()})
        unfinished = self.path.with_name(self.path.name + ".unfinished")
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name without the content
        os.replace(unfinished, self.path)  # at every moment one complete file bears the name

    def read(self) -> dict:
        """Read the saved state; its ``about`` is that of the toolbox that was run.

        Raises
        ------
        CheckpointError
            If there is no such file, or it is not a checkpoint of this version.
        """
        try:
            state = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path}: cannot be read as a checkpoint: {error}") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise CheckpointError(f"{self.path}: is not a checkpoint of a painting's evolution")
        if state.get("version") != VERSION:
            raise CheckpointError(f"{self.path}: expected version {VERSION}, got {state.get('version')!r}")
        return state

    def restore(self, evolution: Evolution) -> None:
        """Let a run go on from where it was saved.

        Raises
        ------
        CheckpointError
            As `read`; also if the saved run is damaged or had other shapes, strategy, fitness or seed.
        """
        state = self.read()
        try:
            evolution.restore(state)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(f"{self.path}: {reason}") from error
