"""Forks and threads in the midst of scoring: right scores, and an end."""

import os
import subprocess
import sys

from attack import Attack
from commands import PATIENCE, REPOSITORY

SCRIPT = """
import multiprocessing, os, threading, time
from open_nsfw import nsfw_score, nsfw_scores, nsfw_score_fn, prepare
IMG = {img!r}
coffee, rocket = IMG + "/coffee.jpg", IMG + "/rocket.jpg"
def right(score, of=coffee):
    return abs(score - (0.012921 if of == coffee else 0.000463)) < 2e-5
"""


def _script(code, engine="onednn"):
    def carry_out(folder):
        text = SCRIPT.format(img=str(REPOSITORY / "img")) + code
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "THEANO_CPU_ENGINE": engine}
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return f"exit code {ran.returncode}: {ran.stdout}{ran.stderr[-500:]}"

    return carry_out


SCRIPTS = {
    "eight threads through nsfw_score_fn": """
x = prepare(coffee)[None]
found = []
def ask():
    found.extend(right(float(nsfw_score_fn(x))) for _ in range(20))
threads = [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("right" if found == [True] * 160 else found)
""",
    "threads that score different pictures": """
found = []
def ask(path):
    found.extend(right(nsfw_score(path), path) for _ in range(20))
threads = [threading.Thread(target=ask, args=(path,)) for path in [coffee, rocket] * 4]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("right" if found == [True] * 160 else found)
""",
    "forks while threads score": """
nsfw_score(coffee)
for _ in range(3):
    threading.Thread(target=lambda: [nsfw_score(rocket) for _ in range(10**6)], daemon=True).start()
time.sleep(0.3)
codes = []
for _ in range(4):
    child = os.fork()
    if not child:
        os._exit(0 if right(nsfw_score(coffee)) else 1)
    codes.append(os.waitpid(child, 0)[1])
print("right" if codes == [0] * 4 else codes)
""",
    "a fork of a fork": """
nsfw_score(coffee)
child = os.fork()
if not child:
    grandchild = os.fork()
    if not grandchild:
        os._exit(0 if right(nsfw_score(coffee)) else 1)
    os._exit(0 if right(nsfw_score(coffee)) and os.waitpid(grandchild, 0)[1] == 0 else 1)
print("right" if os.waitpid(child, 0)[1] == 0 else "wrong")
""",
    "a pool that is forked after a score": """
nsfw_score(coffee)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print("right" if all(map(right, pool.map_async(nsfw_score, [coffee] * 6).get(60))) else "wrong")
""",
    "an end while daemon threads score": """
nsfw_score(coffee)
for _ in range(4):
    threading.Thread(target=lambda: [nsfw_score(rocket) for _ in range(10**6)], daemon=True).start()
time.sleep(0.3)
print("right")
""",
    "an exception while daemon threads score": """
nsfw_score(coffee)
threading.Thread(target=lambda: [nsfw_score(rocket) for _ in range(10**6)], daemon=True).start()
time.sleep(0.2)
print("right", flush=True)
raise SystemExit(0)
""",
    "a child that is killed while it scores": """
import signal
nsfw_score(coffee)
child = os.fork()
if not child:
    while True:
        nsfw_score(rocket)
time.sleep(0.3)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print("right" if right(nsfw_score(coffee)) else "wrong")
""",
    "an interruption while a thread scores": """
import signal
nsfw_score(coffee)
thread = threading.Thread(target=lambda: [nsfw_score(rocket) for _ in range(20)])
thread.start()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    pass
thread.join()
print("right" if right(nsfw_score(coffee)) else "wrong")
""",
}
ATTACKS = [Attack("threads", name, _script(code), "exit code 0: right\n$", None) for name, code in SCRIPTS.items()]
