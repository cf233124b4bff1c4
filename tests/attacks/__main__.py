"""Give every hostile pickle to the reader of weights and print what became of it.

python tests/attacks
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import pickles  # noqa: E402

MEMORY = 1 << 30


def main():
    """Return the exit code: 0 if all attacks failed."""
    succeeded = 0
    for attack in pickles.ATTACKS:
        command = [sys.executable, __file__, attack.__name__]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        succeeded += result.returncode != 0
        verdict = "refused" if result.returncode == 0 else "SUCCEEDED"
        print(f"{verdict:<10}{attack.__name__:<50}{(result.stdout or result.stderr[-200:]).strip()}")
    return 1 if succeeded else 0


def run_one(name):
    """Read one attack with limited memory; exit code 0 if it was refused as it must be, or did nothing."""
    from nsfw_model.weights import WeightsError, load_weights

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    attack = getattr(pickles, name)
    with tempfile.NamedTemporaryFile() as file:
        file.write(attack())
        file.flush()
        try:
            outcome = f"harmless: {load_weights(file.name)}"
        except WeightsError as error:
            outcome = str(error).removeprefix(f"{file.name}: ")
    print(outcome[:120])
    failed = pickles.REFUSALS.get(attack, "harmless: []") in outcome
    return 0 if failed and pickles.MARK not in os.environ else 1


if __name__ == "__main__":
    sys.exit(run_one(sys.argv[1]) if len(sys.argv) > 1 else main())
