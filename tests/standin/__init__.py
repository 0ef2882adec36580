"""Stand-ins for the tools of a bootc host, over a sandbox's real OSTree sysroot and images.

bootc is not packaged for Debian. These do what bootc does, with its traps; `ostree` and
`systemctl` answer for the sandbox where a booted machine's own would be asked. STANDIN in the
environment is a list, divided by commas, of what goes wrong or is old:

exit-1-after-staging  bound images can't be pulled, after the deployment is staged
lost-staging          the switch says that it worked, and nothing is staged
no-status             status fails
mute-after            status fails, once something was changed
no-space              the pull finds the disk full
older                 no usrOverlay, downloadOnly and readOnly in the status
bare                  keys that are null or false are not there at all
incompatible          packages are layered on the booted deployment
hotfix                the overlay is said to be one that outlives a reboot
soft-reboots=N        systemd's count
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

NAMES = ("bootc", "ostree", "systemctl")
_SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.standin.{name} import main
sys.exit(main(sys.argv[1:]))
"""


def install(folder: Path) -> Path:
    """Put the stand-ins into `folder`, as programs; returns it, for PATH."""
    folder.mkdir()
    root = str(Path(__file__).resolve().parents[2])
    for name in NAMES:
        script = folder / name
        script.write_text(_SCRIPT.format(python=sys.executable, root=root, name=name))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


def wrong(name: str) -> str | None:
    """What STANDIN says of `name`: its value, empty where it has none; None: nothing."""
    for item in os.environ.get("STANDIN", "").split(","):
        key, _, value = item.partition("=")
        if key == name:
            return value
    return None


def leave_path() -> None:
    """From here on this process and its children find the real tools."""
    own = Path(sys.argv[0]).parent
    folders = os.environ["PATH"].split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(item for item in folders if Path(item) != own)
