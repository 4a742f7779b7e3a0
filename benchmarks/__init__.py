"""How fast, how small, how few passes: Sightline beside its peers. Run as `python -m benchmarks`; not installed."""
