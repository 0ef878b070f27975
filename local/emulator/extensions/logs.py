"""CloudWatch Logs: a metric filter that exists is replaced, where moto adds a second one of its name."""

from __future__ import annotations

from typing import Any

from moto.logs.metric_filters import MetricFilters

from local.emulator.extensions import Context


def install(_context: Context) -> None:
    """Puts the extension in place."""
    add = MetricFilters.add_filter

    def add_filter(self: Any, filter_name: str, filter_pattern: str, log_group_name: str, rest: Any) -> None:
        self.metric_filters = [
            row
            for row in self.metric_filters
            if (row["filterName"], row["logGroupName"]) != (filter_name, log_group_name)
        ]
        add(self, filter_name, filter_pattern, log_group_name, rest)

    setattr(MetricFilters, add.__name__, add_filter)
