"""Named crash points: inert, unless a test arms one.

`ATOMICSTATE_FAILPOINT=NAME` in the environment makes the program kill itself there with SIGKILL,
and its whole process group with it: what a power cut does to it. `NAME:3` is the third time that
NAME is reached, `*:3` the third point of any name. What it starts itself is not armed. The code
says `reach` there; `atomicstate machine --failpoints` lists them all.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ATOMICSTATE_FAILPOINT"
ANY = "*"

POINTS = {
    "blob.kept": "a blob and its name are durable",
    "bootc.changed": "bootc has ended, the host was not asked yet",
    "bootc.changing": "bootc is about to change the deployments or the overlay",
    "deployment.dropped": "a deployment of a bootc host was dropped, the host was not asked yet",
    "deployment.dropping": "a deployment of a bootc host is about to be dropped",
    "file.replaced": "a file has its new content, its directory is not flushed yet",
    "file.written": "a file's new content is durable under a temporary name",
    "image.building": "podman is about to build",
    "image.built": "podman has built",
    "image.removed": "an image, and what a build left, was removed",
    "image.removing": "an image, and what a build left, is about to be removed",
    "lock.taken": "a lock of the state directory is held",
    "log.appending": "events are about to be committed",
    "log.committed": "events are durable in the log",
    "ostree.changed": "the deployments, or what they need, were changed by libostree",
    "ostree.changing": "the deployments, or what they need, are about to be changed by libostree",
    "ostree.committed": "the image's tree is a commit of OSTree",
    "ostree.committing": "the image's tree is about to become a commit of OSTree",
    "overlay.mounted": "the overlay lies on /usr",
    "overlay.mounting": "the overlay is about to be mounted",
    "packages.changed": "libapt has changed the packages, or taken them back",
    "packages.changing": "libapt is about to change packages, or to take them back",
    "promote.taking-back": "an aborted apply is about to give the recipe back as it was",
    "promote.containerfile": "the Containerfile was promoted, the recipe not yet",
    "prune.removed": "an image or a deployment of no use is gone, perhaps not yet the others",
    "recipe.staged": "the resources that go beside image.yml are durable, in no place yet",
    "recipe.moved-away": "a resource is out of the way of the one that takes its place",
    "recipe.placed": "a resource has its place beside image.yml, perhaps not yet the others",
    "snapshot.saved": "the view's snapshot has its name",
    "snapshot.written": "the view's snapshot is written under a temporary name",
    "staged.dropped": "nothing is staged any more",
    "staged.recorded": "the deployment is staged",
    "staged.recording": "the deployment is about to be staged",
    "transaction.cleaned": "the folder of a transaction that ends is gone",
}
"""Every point but those of the steps, and what is so when it is reached."""

OF_A_STEP = {
    "started": "its intent is durable, its effect has not begun",
    "done": "its effect has ended, the host was not asked yet",
    "undoing": "the intent to take it back is durable, nothing was taken back yet",
    "undone": "its effect was taken back, the host was not asked yet",
}
"""Each step has these: `build.started` and so on."""

_name, _, _times = os.environ.get(VARIABLE, "").partition(":")
_left = int(_times) if _times.isdigit() else 1


def reach(name: str) -> None:
    """Be at the crash point `name`: nothing happens, unless it is the armed one."""
    global _left  # noqa: PLW0603 - one counter for the process, like the variable that sets it
    if not _name or _name not in (name, ANY):
        return
    _left -= 1
    if _left == 0:
        os.write(2, f"killed at the failpoint {name}\n".encode())
        os.kill(0 if os.getpgrp() == os.getpid() else os.getpid(), signal.SIGKILL)
