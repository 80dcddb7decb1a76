"""Numbers for Prometheus: requests, latency, scores by outcome, queue. No personal data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from serving.log import log
from serving.store import OPEN, Store

LATENCY_S = (0.005, 0.025, 0.1, 0.5, 2, 10, 60)
"""Upper bounds of the latency histogram; the last is the longest `Prefer: wait`."""


class Metrics:
    """The counters of one process, and the state of the store that all share."""

    def __init__(self, store: Store, ready: Callable[[], bool]) -> None:
        """A registry of its own: nothing else in the process is shown."""
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            "interview_requests", "requests answered", labels, registry=self.registry
        )
        self._latency = Histogram(
            "interview_request_seconds",
            "from the first byte asked to the last byte sent",
            ("method", "route"),
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self.registry.register(StoreNumbers(store, ready))

    def count(self, method: str, route: str, status: int, duration_s: float) -> None:
        """One request. `route` is the template, so ids do not appear."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(duration_s)

    def text(self) -> bytes:
        """Everything, in the Prometheus text format."""
        return generate_latest(self.registry)


class StoreNumbers:
    """What the store holds at the moment it is asked."""

    def __init__(self, store: Store, ready: Callable[[], bool]) -> None:
        """`ready` says whether models are loaded."""
        self._store = store
        self._ready = ready

    def describe(self) -> list[Metric]:
        """Nothing: asking the store while it registers would be too early."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Whether models are loaded and the database answers; scores by status, those that wait."""
        loaded = float(self._ready())
        yield GaugeMetricFamily("interview_models_loaded", "1 when scoring is possible", loaded)
        try:
            counts = self._store.counts()
        except Exception as error:
            # The numbers of this process are needed most when the database is away.
            log.error("store not counted", extra={"error": type(error).__name__})
            yield GaugeMetricFamily("interview_database_up", "1 when it answers", 0)
            return
        yield GaugeMetricFamily("interview_database_up", "1 when it answers", 1)
        scores = GaugeMetricFamily(
            "interview_scores", "scores kept, by status and code", labels=("status", "code")
        )
        for (status, code), count in sorted(counts.items()):
            scores.add_metric((status, code), count)
        yield scores
        waiting = sum(count for (status, _), count in counts.items() if status in OPEN)
        yield GaugeMetricFamily("interview_queue_depth", "accepted and not ended", value=waiting)
