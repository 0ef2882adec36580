"""What the developer runs: the demo, and what writes the generated documents."""
