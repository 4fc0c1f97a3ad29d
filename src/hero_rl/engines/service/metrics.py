"""The service's numbers for Prometheus. Labels take few values whatever clients send."""

from __future__ import annotations

import math
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics(Collector):
    """Counters of one service, in a registry of their own: several services may live in one process."""

    def __init__(self, live: Callable[[], Iterable[GaugeMetricFamily]]):
        """Make them; ``live`` gives the gauges whenever they are read."""
        self._live = live
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter("hero_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "hero_request_seconds", "From arrival to answer.", ["path"], buckets=_SECONDS, registry=self.registry
        )
        self.failures = Counter("hero_failures", "Requests that failed, by kind.", ["kind"], registry=self.registry)
        self.verdicts = Counter("hero_verdicts", "Verdicts given, by label.", ["label"], registry=self.registry)
        self.missing_scores = Counter("hero_missing_scores", "Responses without a score.", registry=self.registry)
        self.replays = Counter("hero_replays", "Retried requests that were answered from memory.", registry=self.registry)
        self.registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        yield from self._live()

    def count_verdicts(self, verdicts: Iterable[float], failed: Iterable[bool]) -> None:
        """Count verdicts, given as in ``Signals``."""
        for label, count in Counts(map(_label, verdicts, failed)).items():
            self.verdicts.labels(label).inc(count)

    def text(self) -> bytes:
        """Return all numbers in Prometheus' text format."""
        return generate_latest(self.registry)


def _label(verdict: float, failed: bool) -> str:
    return "failed" if failed else "abstain" if math.isnan(verdict) else "correct" if verdict > 0.0 else "incorrect"


def labelled(
    name: str, meaning: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    """Return a gauge with labels, without the values that are not known yet."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for texts, value in values:
        if not math.isnan(value):
            family.add_metric(texts, value)
    return family
