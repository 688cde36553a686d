"""All benchmarks, one JSON object each: `make bench`."""

from benchmarks import loop

loop.main([])
