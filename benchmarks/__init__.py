"""What the performance figures come from: `python -m benchmarks` measures every ratio in one run."""
