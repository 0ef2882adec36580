"""What happened: immutable events, their codec and their hash chain."""
