"""The driver of kgwebhook's bench; see bench/README.md."""
