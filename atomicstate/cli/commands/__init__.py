"""The commands, one module for each kin of them; loaded when they are called."""
