"""The child process of the `ostree` driver: what mounts, and what loads libostree.

Started as `python -m atomicstate.host.ostree_child VERB REQUEST` with a request in JSON; the
last line that it prints is its answer in JSON, `{"error": ...}` where it failed. `commit`
expects a mount namespace of its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from atomicstate import process
from atomicstate.errors import AtomicstateError, HostError, ImageError
from atomicstate.host import mounts

GObject = Any
"""An object of the bindings: they have no types."""
REFS = "atomicstate/image"
"""Each image that was committed has a ref below this, named by its id."""
_LIMIT = 1200.0
_MOST_OPTIONS = 4000
_CHECKSUM = re.compile("[0-9a-f]{64}")
# What a deployment gets from the host, or keeps for itself: it is not the image's to bring.
_EMPTIED = ("var", "dev", "run", "tmp", "proc", "sys", "boot")


def commit(request: dict[str, Any]) -> dict[str, Any]:
    """Commit an image's tree in the shape that OSTree deploys; answers with its checksum."""
    repo, ref = request["repo"], request["ref"]
    tree = _mount(Path(request["folder"]), request["layers"], Path(request["scratch"]))
    _check(tree, request["subject"])
    if request["var"] is not None:
        process.run(["cp", "-a", f"{tree}/var/.", request["var"]], timeout=_LIMIT)
    known = process.run(["ostree", f"--repo={repo}", "rev-parse", ref], check=False)
    if known.status == 0:
        return {"checksum": _checksum(known)}
    _reshape(tree)
    metadata = [f"--add-metadata-string={k}={v}" for k, v in request["metadata"].items()]
    argv = ["ostree", f"--repo={repo}", "commit", f"--branch={ref}", *metadata]
    argv += [f"--subject={request['subject']}", f"--tree=dir={tree}"]
    return {"checksum": _checksum(process.run(argv, timeout=_LIMIT))}


def _checksum(finished: process.Finished) -> str:
    """The checksum that ostree answered with. Raises HostError for what is none."""
    answer = finished.text.strip()
    if _CHECKSUM.fullmatch(answer) is None:
        raise HostError(
            f"ostree {finished.argv[2]} answered {answer[:100]!r}, which is no checksum"
        )
    return answer


def _mount(folder: Path, layers: list[str], scratch: Path) -> Path:
    """The layers as one writable tree. What is written stays in memory, and goes with it."""
    mounts.mount("tmpfs", scratch, "tmpfs", options="mode=0700")
    for name in ("upper", "work", "tree"):
        (scratch / name).mkdir()
    os.chdir(folder)
    lower = ":".join(name or "." for name in layers)
    # The tree of a new overlay may hold special characters: relative names, by way of /proc.
    descriptor = os.open(scratch, os.O_PATH | os.O_DIRECTORY)
    here = f"/proc/self/fd/{descriptor}"
    options = f"lowerdir={lower},upperdir={here}/upper,workdir={here}/work"
    if len(options) > _MOST_OPTIONS:
        raise ImageError(f"the image has too many layers ({len(layers)})")
    mounts.mount("overlay", scratch / "tree", "overlay", options=options)
    os.close(descriptor)
    return scratch / "tree"


def _check(tree: Path, name: str) -> None:
    """Raise ImageError unless the tree can be deployed and its packages be worked on."""
    if not (tree / "usr").is_dir():
        raise ImageError(f"{name} can't be deployed: it has no /usr")
    if not (tree / "usr/lib/sysimage/dpkg/status").is_file():
        raise ImageError(
            f"{name} can't be deployed: its package database is not in /usr/lib/sysimage/dpkg, "
            "so it would not follow /usr"
        )
    if not list(tree.glob("usr/lib/modules/*/vmlinuz")):
        raise ImageError(f"{name} can't be deployed: it has no /usr/lib/modules/*/vmlinuz")
    if (tree / "etc").is_dir() and (tree / "usr/etc").is_dir():
        raise ImageError(f"{name} can't be deployed: it has both /etc and /usr/etc")


def _reshape(tree: Path) -> None:
    """From the shape of an image to that of a commit."""
    if (tree / "etc").is_dir():
        process.run(["cp", "-a", f"{tree}/etc", f"{tree}/usr/etc"], timeout=_LIMIT)
        process.run(["rm", "-rf", "--one-file-system", f"{tree}/etc"], timeout=_LIMIT)
    for name in _EMPTIED:
        folder = tree / name
        if folder.is_dir() and not folder.is_symlink():
            inside = [str(path) for path in folder.iterdir()]
            process.run(["rm", "-rf", "--one-file-system", "--", *inside], timeout=_LIMIT)
        else:
            folder.mkdir(exist_ok=True)
    (tree / "sysroot").mkdir(exist_ok=True)
    if not (tree / "ostree").is_symlink():
        (tree / "ostree").symlink_to("sysroot/ostree")


def deploy(request: dict[str, Any]) -> dict[str, Any]:
    """Deploy a commit, put it first, keep its merge deployment and what is pinned."""
    gi = _bindings()
    sysroot = _load(gi, request["sysroot"])
    # Between those that name the same commit the serial tells.
    deployments = sysroot.get_deployments()
    present = {_name(one): one for one in deployments}
    merge = present.get(request["merge"])
    if request["merge"] and merge is None:
        raise HostError(f"the deployment to merge with, {request['merge']}, is gone")
    origin = gi.GLib.KeyFile()
    origin.load_from_data(request["origin"], len(request["origin"]), gi.GLib.KeyFileFlags.NONE)
    _done, made = sysroot.deploy_tree(
        request["stateroot"], request["checksum"], origin, merge, None, None
    )
    kept = [one for one in deployments if one is merge or one.is_pinned()]
    kept.sort(key=lambda one: one is not merge)
    sysroot.write_deployments([made, *kept], None)
    return _prune(sysroot, [])


def first(request: dict[str, Any]) -> dict[str, Any]:
    """Put the deployment `deployment` (checksum.serial) first: it boots next."""
    sysroot = _load(_bindings(), request["sysroot"])
    deployments = sysroot.get_deployments()
    chosen = [one for one in deployments if _name(one) == request["deployment"]]
    if not chosen:
        raise HostError(f"the deployment {request['deployment']} is gone")
    if deployments[0] is not chosen[0]:
        rest = [one for one in deployments if one is not chosen[0]]
        sysroot.write_deployments([*chosen, *rest], None)
    return {}


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Drop the deployment `deployment` (checksum.serial), and what only it held."""
    sysroot = _load(_bindings(), request["sysroot"])
    deployments = sysroot.get_deployments()
    kept = [one for one in deployments if _name(one) != request["deployment"]]
    if len(kept) < len(deployments):
        sysroot.write_deployments(kept, None)
    return _prune(sysroot, request["keep"])


def _name(deployment: GObject) -> str:
    return f"{deployment.get_csum()}.{deployment.get_deployserial()}"


def prune(request: dict[str, Any]) -> dict[str, Any]:
    """Drop the refs of images that nothing needs, and what only they held."""
    return _prune(_load(_bindings(), request["sysroot"]), request["keep"])


def _prune(sysroot: GObject, keep: list[str]) -> dict[str, Any]:
    needed = {*keep, *(one.get_csum() for one in sysroot.get_deployments())}
    _done, repo = sysroot.get_repo(None)
    # Asked for a prefix, libostree gives the refs without it.
    _done, refs = repo.list_refs(REFS, None)
    dropped = [name for name, checksum in refs.items() if checksum not in needed]
    for name in dropped:
        repo.set_ref_immediate(None, f"{REFS}/{name}", None, None)
    sysroot.cleanup(None)
    return {"dropped": dropped}


class _Bindings(NamedTuple):
    GLib: GObject
    Gio: GObject
    OSTree: GObject


def _bindings() -> _Bindings:
    try:
        import gi

        gi.require_version("OSTree", "1.0")
        from gi.repository import Gio, GLib, OSTree
    except (ImportError, ValueError) as error:
        raise HostError(
            f"libostree can't be loaded: {error}; install gir1.2-ostree-1.0 and python3-gi"
        ) from error
    return _Bindings(GLib, Gio, OSTree)


def _load(gi: _Bindings, path: str) -> GObject:
    sysroot = gi.OSTree.Sysroot.new(gi.Gio.File.new_for_path(path))
    sysroot.load(None)
    return sysroot


def main(argv: list[str]) -> int:
    """Run one verb; print the answer."""
    verb, request = argv[0], json.loads(argv[1])
    verbs = {
        "commit": commit,
        "deploy": deploy,
        "first": first,
        "remove": remove,
        "prune": prune,
    }
    try:
        answer = verbs[verb](request)
    except AtomicstateError as error:
        answer = {"error": error.message, "code": error.code, "hint": error.hint}
    except OSError as error:
        answer = {"error": f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")}
    except Exception as error:
        # What libostree raises has no common class of its own that could be named here.
        answer = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
