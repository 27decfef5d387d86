"""What it costs: density, size and latency."""
