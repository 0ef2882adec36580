"""An event-sourced transaction engine for image-based systems."""

__version__ = "0.1.0"
