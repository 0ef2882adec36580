"""Use cases: append the intent, call the host, append the outcome."""
