"""The one way to measure Punctual; scripts/bench.sh runs it."""
