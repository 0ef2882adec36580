"""The kinds of base image: how packages are had there."""

from __future__ import annotations

DIALECTS = ("deb", "rpm", "apm")
"""Debian's; ALT's apt-rpm; ALT's with APM in it."""
