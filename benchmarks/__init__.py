"""What is measured against what, in one run (docs/performance.md)."""
