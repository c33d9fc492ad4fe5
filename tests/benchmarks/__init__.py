"""Benchmarks, compared with bounds and with other libraries: `bash launch/bench.sh`."""
