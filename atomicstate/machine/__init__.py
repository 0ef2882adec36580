"""The pipeline as a state machine: order, guards, steps, what recovery decides."""
