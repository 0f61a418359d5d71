"""Hours of mixed traffic, and whether anything grows; see bench/soak/README.md."""
