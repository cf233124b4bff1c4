"""Compute what many pictures cost on many machines, out of rates that were measured; docs/scaling.md has the tables.

    python benchmarks/scaling.py --rate 25 --megabytes 0.2 [--task 1] [--client 20000] [--partition 64] [--cores 32]

Prints a table in Markdown. Work is divided without loss: pictures know nothing of each other. What does not divide is
the scheduler, which takes its milliseconds for each part, and the client, which names each picture and gets each
result; as many clusters are needed, each with a share of the pictures, as keep both no more than half busy.
"""

from __future__ import annotations

import argparse
from math import ceil
from typing import NamedTuple

from tables import write_row

RUNS = ((10**6, 1), (10**9, 1), (10**9, 10), (10**9, 100), (10**12, 100), (10**12, 1000), (10**12, 10000))
SECONDS_OF_A_DAY = 86400


class Rates(NamedTuple):
    """What was measured.

    Attributes
    ----------
    core : float
        Pictures a second of one core.
    cores : int
        Of a machine.
    megabytes : float
        Of a picture's file.
    task : float
        Milliseconds of the scheduler for a part.
    client : float
        Pictures a second that one client can name and get the results of.
    partition : int
        Pictures of a part.
    """

    core: float
    cores: int
    megabytes: float
    task: float
    client: float
    partition: int


class Cost(NamedTuple):
    """What a run takes.

    Attributes
    ----------
    speed : float
        Pictures a second of all machines.
    days : float
    read : float
        Gigabytes a second of all machines.
    clusters : int
        Schedulers, each with its client.
    """

    speed: float
    days: float
    read: float
    clusters: int


def cost(pictures: int, machines: int, rates: Rates) -> Cost:
    """Compute the cost of a run.

    Parameters
    ----------
    pictures : int
    machines : int
    rates : Rates

    Returns
    -------
    Cost

    Examples
    --------
    >>> cost(10**6, 1, Rates(core=25, cores=32, megabytes=0.2, task=1, client=20000, partition=64))
    Cost(speed=800, days=0.014467592592592593, read=0.16, clusters=1)
    """
    speed = rates.core * rates.cores * machines
    of_a_scheduler = rates.partition * 1e3 / rates.task
    return Cost(
        speed=speed,
        days=pictures / speed / SECONDS_OF_A_DAY,
        read=speed * rates.megabytes / 1e3,
        clusters=ceil(speed / (min(of_a_scheduler, rates.client) / 2)),
    )


def duration(days: float) -> str:
    """Write a time in the unit in which it is a number that people can picture.

    Parameters
    ----------
    days : float

    Returns
    -------
    str

    Examples
    --------
    >>> duration(0.01), duration(0.5), duration(20.3), duration(4000)
    ('14 minutes', '12 hours', '20 days', '11 years')
    """
    for unit, length in (("years", 365), ("days", 1), ("hours", 1 / 24)):
        if days >= 2 * length:
            return f"{short(days / length)} {unit}"
    return f"{short(days * 24 * 60)} minutes"


def short(number: float) -> str:
    """Write a number with two significant digits, or as a whole one.

    Parameters
    ----------
    number : float

    Returns
    -------
    str

    Examples
    --------
    >>> short(0.16), short(9.26), short(1600)
    ('0.16', '9.3', '1,600')
    """
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="pictures a second of one core")
    parser.add_argument("--megabytes", type=float, required=True, metavar="N", help="of a picture's file")
    parser.add_argument("--cores", type=int, default=32, metavar="N", help="of a machine (default: 32)")
    parser.add_argument("--task", type=float, default=1, metavar="MS", help="of the scheduler for a part (default: 1)")
    parser.add_argument("--client", type=float, default=20000, metavar="N", help="pictures/s of one (default: 20000)")
    parser.add_argument("--partition", type=int, default=64, metavar="N", help="pictures of a part (default: 64)")
    args = parser.parse_args()
    rates = Rates(args.rate, args.cores, args.megabytes, args.task, args.client, args.partition)
    write_row(("pictures", "machines", "pictures/s", "time", "GB/s read", "clusters"), markdown=True, header=True)
    for pictures, machines in RUNS:
        run = cost(pictures, machines, rates)
        cells = (f"{pictures:,}", f"{machines:,}", f"{run.speed:,.0f}", duration(run.days), short(run.read))
        write_row((*cells, f"{run.clusters:,}"), markdown=True)


if __name__ == "__main__":
    main()
