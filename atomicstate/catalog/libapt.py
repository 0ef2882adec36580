"""python-apt's types by name.

Names for the reader only: the stubs that python-apt brings lack a third of what is used here
(`Package.important`, `DepCache.set_reinstall`, ...), and are not there on every machine.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from atomicstate.errors import AptError

Cache: TypeAlias = Any
DepCache: TypeAlias = Any
Package: TypeAlias = Any
Version: TypeAlias = Any
Dependency: TypeAlias = Any
PackageManager: TypeAlias = Any
PackageRecords: TypeAlias = Any
Acquire: TypeAlias = Any
AcquireItem: TypeAlias = Any
AcquireItemDesc: TypeAlias = Any
Module: TypeAlias = Any

INSTALLED_INDEX = "Debian dpkg status file"
"""libapt's word for the index that dpkg's own database is."""


def apt_pkg() -> Module:
    """python-apt's lower half. Raises AptError where this Python does not have it."""
    try:
        import apt_pkg as module
    except ImportError as error:
        raise AptError(
            f"this Python has no python-apt ({error})",
            hint="install Debian's python3-apt; a virtual environment needs "
            "--system-site-packages and Debian's own Python",
        ) from error
    return module
