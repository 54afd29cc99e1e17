"""Run the measurements that need nothing but this checkout: python -m benchmarks."""

from __future__ import annotations

from benchmarks import latency, throughput

throughput.main([])
latency.main([])
