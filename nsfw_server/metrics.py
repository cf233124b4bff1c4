"""What is counted, for Prometheus."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

#: Type of the text.
CONTENT_TYPE = CONTENT_TYPE_LATEST
#: The folder that several processes share, which Prometheus's client reads when it is imported.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters and histograms of a process, or of all that share a folder.

    Attributes
    ----------
    requests : prometheus_client.Counter
        Answers by endpoint and status.
    pictures : prometheus_client.Counter
        By label.
    errors : prometheus_client.Counter
        By kind.
    batches : prometheus_client.Histogram
        Sizes.
    request_seconds, picture_seconds, batch_seconds : prometheus_client.Histogram
        From the head of a request to its answer, from a picture's arrival to its score, and in the network.
    queue, slow : prometheus_client.Gauge
        Pictures that are accepted and not answered; those that stand aside since they take long.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.pictures.labels("safe").inc()
    >>> b'open_nsfw_pictures_total{label="safe"} 1.0' in metrics.text()
    True
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "open_nsfw_requests", "Answers by endpoint and status", ["endpoint", "status"], registry=registry
        )
        self.pictures = Counter("open_nsfw_pictures", "Pictures by label", ["label"], registry=registry)
        self.errors = Counter("open_nsfw_errors", "Errors by kind", ["kind"], registry=registry)
        self.batches = Histogram(
            "open_nsfw_batch_size", "Pictures in a batch", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.request_seconds = Histogram(
            "open_nsfw_request_seconds", "From request to answer", ["endpoint"], buckets=_SECONDS, registry=registry
        )
        self.picture_seconds = Histogram(
            "open_nsfw_picture_seconds", "From a picture's arrival to its score", buckets=_SECONDS, registry=registry
        )
        self.batch_seconds = Histogram("open_nsfw_batch_seconds", "In the network", buckets=_SECONDS, registry=registry)
        self.queue = Gauge(
            "open_nsfw_queue", "Pictures accepted and not answered", registry=registry, multiprocess_mode="livesum"
        )
        self.slow = Gauge(
            "open_nsfw_slow_pictures", "Pictures that stand aside", registry=registry, multiprocess_mode="livesum"
        )
        _forget_the_dead()

    def observe_batch(self, size: int, seconds: float) -> None:
        """Count a batch.

        Parameters
        ----------
        size : int
        seconds : float
        """
        self.batches.observe(size)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Give all of it in Prometheus's format.

        Returns
        -------
        bytes
        """
        if not os.environ.get(SHARED):
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)


def _forget_the_dead() -> None:
    """Of processes that are no more, what they counted stays, and what they measured goes."""
    folder = os.environ.get(SHARED)
    if not folder:
        return
    numbers = {re.fullmatch(r"gauge_live\w*_(\d+)\.db", path.name) for path in Path(folder).glob("gauge_live*.db")}
    for number in {int(match[1]) for match in numbers if match}:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            with contextlib.suppress(FileNotFoundError):  # another process forgets it, too
                mark_process_dead(number)
        except PermissionError:
            pass
