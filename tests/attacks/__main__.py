"""Attack every guarantee of docs/security.md and print what held.

python tests/attacks [-v] [GUARANTEE ...]
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]

import table  # noqa: E402

if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        table.carry_out(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(table.main())
