"""All benchmarks, one JSON object each: `make bench`."""

from benchmarks import loop, meter

meter.main([])
loop.main([])
