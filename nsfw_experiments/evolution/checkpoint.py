"""Saved runs: one JSON file, replaced whole after each generation; a run that is killed loses at most one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nsfw_experiments.evolution.run import Evolution
from nsfw_experiments.evolution.settings import Settings
from nsfw_model.outputs import write_text
from nsfw_model.regular_file import read_regular

FORMAT = "painting evolution"
VERSION = 1
#: In bytes: thousands of paintings.
LARGEST_FILE = 1 << 28
#: What comes of using values that are missing, or of another type or size than was saved.
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that is of another kind of run."""


class Checkpoint:
    """A checkpoint file; as a callback, called with an `Evolution`, it saves it.

    Parameters
    ----------
    path : str or Path
        A JSON file, written anew at every call.

    Examples
    --------
    >>> evolution.run(200, callbacks=[Checkpoint("out/checkpoint.json")])    # doctest: +SKIP
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __call__(self, evolution: Evolution) -> None:
        text = json.dumps({"format": FORMAT, "version": VERSION, **evolution.state()})
        write_text(self.path, text)  # at every moment one complete file bears the name

    def read(self) -> dict[str, Any]:
        """Read the saved state.

        Returns
        -------
        dict
            As `Evolution.state` gave it.

        Raises
        ------
        CheckpointError
            If there is no such file, or it is not a checkpoint of this version.
        """
        try:
            if self.path.stat().st_size > LARGEST_FILE:
                raise ValueError(f"got {self.path.stat().st_size} bytes, expected at most {LARGEST_FILE}")
            state = json.loads(read_regular(self.path, LARGEST_FILE).decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = str(error).removeprefix(f"{self.path}: ")
            raise CheckpointError(f"{self.path}: cannot be read as a checkpoint: {reason}") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise CheckpointError(f"{self.path}: is not a checkpoint of a painting's evolution")
        if state.get("version") != VERSION:
            raise CheckpointError(f"{self.path}: version: got {state.get('version')!r:.100}, expected {VERSION}")
        return state

    def settings(self) -> Settings:
        """Read the settings of the saved run.

        Returns
        -------
        Settings

        Raises
        ------
        CheckpointError
            As `read`; also if the settings are damaged.
        """
        state = self.read()
        try:
            return Settings.from_dict(state["about"])
        except _DAMAGE as error:
            raise CheckpointError(f"{self.path}: is damaged: {error!r:.300}") from error

    def restore(self, evolution: Evolution) -> None:
        """Let a run go on from where it was saved.

        Parameters
        ----------
        evolution : Evolution
            Changed in place, or left as it is if the checkpoint is refused.

        Raises
        ------
        CheckpointError
            As `read`; also if the saved run is damaged or had other shapes, strategy, fitness or seed.
        """
        state = self.read()
        try:
            evolution.restore(state)
        except _DAMAGE as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise CheckpointError(f"{self.path}: {reason:.1000}") from error
