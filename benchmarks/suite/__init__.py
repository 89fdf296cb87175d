"""The asv suite; see benchmarks/README.md."""
