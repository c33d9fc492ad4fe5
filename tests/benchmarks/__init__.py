"""Benchmarks beside the limits and the peers; `bash launch/bench.sh` runs them."""
