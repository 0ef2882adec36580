"""What libapt resolved: each package that comes or goes, with version and architecture."""

# Annotations are not postponed: msgspec reads them when a decoder is made, and of strings that
# takes thrice the time.

from msgspec import Struct


class PackageChange(Struct, frozen=True, array_like=True, gc=False):
    """One package of a plan.

    `kind` is install, upgrade, downgrade, remove or configure; `version` the one that comes (or
    goes); `was` the one that was there before, empty where none was; `sha256` the archive's, empty
    for what goes; `automatic` true where it comes as a dependency alone; sizes in bytes.
    """

    kind: str
    name: str
    version: str
    architecture: str
    was: str = ""
    sha256: str = ""
    automatic: bool = False
    download_size: int = 0
    installed_size: int = 0

    @property
    def before(self) -> str:
        """The version that is there before it; empty where none is."""
        return self.was or (self.version if self.kind == "remove" else "")

    @property
    def after(self) -> str:
        """The version that is there after it; empty where none is."""
        return "" if self.kind == "remove" else self.version


class Plan(Struct, frozen=True, array_like=True, gc=False):
    """All that one action does to the package set. Sizes in bytes; `installed_size` is the net
    growth (negative where it shrinks).
    """

    changes: tuple[PackageChange, ...] = ()
    download_size: int = 0
    installed_size: int = 0

    @property
    def comes(self) -> tuple[PackageChange, ...]:
        """What will be there at a version that was not there before."""
        return tuple(change for change in self.changes if change.kind != "remove")

    @property
    def goes(self) -> tuple[PackageChange, ...]:
        """What will not be there any more."""
        return tuple(change for change in self.changes if change.kind == "remove")
