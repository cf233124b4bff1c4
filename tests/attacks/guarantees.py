"""The guarantees of docs/security.md by one word each, and the modules that attack them."""

from __future__ import annotations

#: In the order of docs/security.md.
GUARANTEES = {
    "pictures": "No number for what cannot be scored",
    "finite": "What goes in and comes out is finite",
    "pickles": "A pickle of weights is never run",
    "networks": "Networks and checkpoints are understood or refused",
    "cost": "A few bytes do not cost gigabytes or minutes",
    "formats": "No interpreters and no other programs",
    "folder": "The working directory chooses nothing",
    "names": "Names forge no rows and command no terminal",
    "compiled": "Compiled code is this user's alone, and whole",
    "outputs": "Every output is complete or absent",
    "runs": "An ended run goes on, and leaves no process",
    "threads": "Threads and forks get right scores",
    "service": "Hostile requests leave the service serving",
}

#: Modules of this folder, each with a list ``ATTACKS``; the longest first, since several run at once.
MODULES = (
    "services",
    "processes",
    "forks",
    "folders",
    "pictures",
    "names",
    "finite",
    "writes",
    "bombs",
    "films",
    "networks",
    "checkpoints",
    "formats",
    "weights_of_strangers",
)
