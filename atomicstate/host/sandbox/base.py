"""The base tree as a tar file, made once for each mirror, suite and recipe, and kept."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atomicstate import process
from atomicstate.errors import HostError, NoSpaceError
from atomicstate.files import fsync_directory, make_directory, write_atomically
from atomicstate.host import mounts
from atomicstate.host.sandbox import sources, tree
from atomicstate.host.sandbox.layout import locked

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path("/var/cache/atomicstate")
PACKAGES = ("ca-certificates",)
_APT = Path("/etc/apt")
_LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_BUILD_LIMIT = 1800.0
_LIMIT = 600.0
_LOCK_LIMIT = 1800.0
# Settings of apt that say how archives are fetched; not those that name programs or files of
# the machine, which the tree does not have.
_TRANSPORT = re.compile(
    r"Acquire::(https?|ftp|tor|Check-Valid-Until|Check-Date|Max-ValidTime|Min-ValidTime|Retries"
    r"|ForceIPv[46]|Languages|IndexTargets::[^:]+::[^:]+::DefaultEnabled|By-Hash|PDiffs)\b"
)
_LOCAL = re.compile(
    r"(?i)::(Proxy-Auto-Detect|ProxyAutoDetect|SslCert|SslKey|CaInfo|CaPath|CrlFile)\b"
)
_CA_INFO = re.compile(r'(?i)^Acquire::https(?:::[^:]+)?::CaInfo "(/[^"]+)";$')


class Recipe(Struct, frozen=True):
    """All that a base tar is made from: its digest is the tar's name."""

    suite: str
    sources: list[sources.Source]
    apt_conf: str
    certificates: list[tuple[str, str]]
    packages: tuple[str, ...] = PACKAGES
    version: int = tree.RECIPE

    @property
    def key(self) -> str:
        """The name under which its tar is cached."""
        digest = hashlib.sha256(msgspec.json.encode(self)).hexdigest()
        return f"{self.suite}-{digest[:20]}"


def recipe_for(suite: str) -> Recipe:
    """The recipe for `suite` on this machine. Raises NotFoundError, ToolError."""
    chosen = sources.for_suite(sources.read_sources(_APT), suite)
    dump = process.run(["apt-config", "dump"], timeout=_LIMIT).text
    certificates = [
        (str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in _authorities(dump)
    ]
    return Recipe(suite, chosen, transport_settings(dump), certificates)


def transport_settings(dump: str) -> str:
    """The lines of `apt-config dump` that a tree needs to reach the same mirrors."""
    lines = [line for line in dump.splitlines() if _TRANSPORT.match(line)]
    return "".join(f"{line}\n" for line in lines if not _LOCAL.search(line.partition(" ")[0]))


def _authorities(dump: str) -> list[Path]:
    """The machine's own certificate authorities, and those that apt alone is told of."""
    found = sorted(_LOCAL_CERTIFICATES.rglob("*.crt")) if _LOCAL_CERTIFICATES.is_dir() else []
    named = {match[1] for match in map(_CA_INFO.match, dump.splitlines()) if match}
    return [*found, *(path for path in map(Path, sorted(named)) if path.is_file())]


def base_tar(
    suite: str, progress: Callable[[str], None], cache: Path = CACHE
) -> tuple[Path, Recipe]:
    """The tar of the base tree of `suite`, from the cache or built now.

    Two that ask at once build it once. Raises HostError, NoSpaceError, NotFoundError; then the
    cache is as it was.
    """
    recipe = recipe_for(suite)
    make_directory(cache, 0o755)
    tar = cache / f"base-{recipe.key}.tar"
    with locked(cache / "lock", "build a base tree", wait=_LOCK_LIMIT):
        if not _is_whole(tar):
            progress(f"building a base tree of {suite}: half a minute, the next time it is there")
            _build(recipe, tar)
    return tar, recipe


def _is_whole(tar: Path) -> bool:
    """Whether a cached tar is all there: its size is the one noted when it was done."""
    try:
        return tar.stat().st_size == int(_note(tar).read_text())
    except (OSError, ValueError):
        return False


def _note(tar: Path) -> Path:
    return tar.with_suffix(".size")


def _build(recipe: Recipe, tar: Path) -> None:
    for left in tar.parent.glob("build.*"):
        _discard(left)  # of a run that was killed: the lock says that no other is at work
    _note(tar).unlink(missing_ok=True)
    work = Path(tempfile.mkdtemp(prefix="build.", dir=tar.parent))
    try:
        root = _bootstrap(recipe, work)
        tree.prepare(root, recipe.apt_conf, [Path(path) for path, _digest in recipe.certificates])
        made = work / "base.tar"
        options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name"]
        process.run(
            ["tar", "-C", root, *options, "--exclude=./dev/*", "-cf", made, "."], timeout=_LIMIT
        )
        size = made.stat().st_size
        process.run(["sync", made], timeout=_LIMIT)
        made.replace(tar)
        fsync_directory(tar.parent)
        # Last: a tar without its size is built anew.
        write_atomically(_note(tar), str(size).encode(), 0o644)
    except process.ToolError as error:
        said = error.finished.last_words if error.finished else ""
        if "No space left on device" in said:
            raise NoSpaceError(f"no space left for a base tree in {tar.parent}") from error
        raise
    finally:
        _discard(work)


def _bootstrap(recipe: Recipe, work: Path) -> Path:
    """Run mmdebstrap; returns the tree."""
    root = work / "root"
    listed = work / "debian.sources"
    listed.write_text("\n".join(source.render() for source in recipe.sources))
    conf = work / "apt.conf"
    conf.write_text(recipe.apt_conf)
    argv = [
        "mmdebstrap",
        "--variant=apt",
        "--format=directory",
        f"--include={','.join(recipe.packages)}",
        f"--aptopt={conf}",
        recipe.suite,
        str(root),
        str(listed),
    ]
    finished = process.run(argv, env={"TMPDIR": str(work)}, timeout=_BUILD_LIMIT, check=False)
    if finished.status != 0:
        lines = [line for line in finished.last_words.splitlines() if not line.startswith("I: ")]
        said = "\n".join(lines[-12:])
        if "No space left on device" in said:
            raise NoSpaceError(f"no space left for a base tree in {work.parent}")
        raise HostError(
            f"a base tree of {recipe.suite} can't be built: mmdebstrap {finished.outcome}: {said}",
            hint="`apt-get update` on this machine shows whether its mirror can be reached",
        )
    # The tree holds the settings in a file of its own, see tree.prepare.
    (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
    _keys(recipe, root)
    return root


def _keys(recipe: Recipe, root: Path) -> None:
    """Bring the keys and mirror lists that the sources name by path, where the tree lacks them."""
    named = [source.signed_by for source in recipe.sources]
    named += [
        uri.partition(":")[2] for one in recipe.sources for uri in one.uris if "+file:" in uri
    ]
    for name in named:
        path = Path("/" + name.lstrip("/"))
        target = root / str(path).lstrip("/")
        if name.startswith("/") and path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _discard(work: Path) -> None:
    """Remove a work folder; what mmdebstrap left mounted in it is unmounted, not emptied."""
    mounts.unmount_below(work)
    shutil.rmtree(work, ignore_errors=True)
