"""What the system is: units, its name, what os-release says, its initial RAM disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import ValidationError
from atomicstate.recipe.render import instructions
from atomicstate.recipe.render.context import Context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.schema import Initrd, NetworkBody, SystemdBody


# --root: no systemd is asked, which does not run here; the links are made, and nothing starts.
_SYSTEMD = """\
if ! command -v systemctl >/dev/null; then
  echo "systemd: this image has no systemctl: install systemd in a packages module before" >&2
  exit 1
fi
verb=$1
shift
"""


def systemd(step: Step, body: SystemdBody, context: Context) -> instructions.Run:
    """Units are enabled, disabled or masked."""
    verb = "enable" if body.enabled else "mask" if body.masked else "disable"
    everybody = "--global " if body.global_ else ""
    return instructions.run(
        f'{instructions.BEGIN}{_SYSTEMD}systemctl --root=/ {everybody}"$verb" -- "$@"\n',
        [verb, *body.targets],
        name="systemd",
    )


def network(step: Step, body: NetworkBody, context: Context) -> instructions.Copy:
    """The host's name: by COPY, as both files are the builder's own in a RUN."""
    name = body.hostname
    hosts = f"127.0.0.1 localhost {name}\n::1 localhost6 {name}6\n"
    contents = (("/etc/hostname", f"{name}\n"), ("/etc/hosts", hosts))
    return instructions.Copy(
        tuple((context.file(content.encode()), path, "--chmod=0644") for path, content in contents)
    )


# -- os-release ---------------------------------------------------------------------------------

# The first line of a field is the one that counts here; it keeps its place. What /etc has is a
# link, as it is wherever a distribution leaves it: an image brings one file.
_OS_RELEASE = """\
file=/usr/lib/os-release
if [ ! -e "$file" ]; then mv -- /etc/os-release "$file"; fi
mapfile -t lines <"$file"
for field; do
  done=
  for i in "${!lines[@]}"; do
    if [[ ${lines[i]} == "${field%%=*}="* ]]; then
      if [ -z "$done" ]; then lines[i]=$field; else unset 'lines[i]'; fi
      done=1
    fi
  done
  [ -n "$done" ] || lines+=("$field")
done
printf '%s\\n' "${lines[@]}" >"$file"
ln -sfT ../usr/lib/os-release /etc/os-release
"""


def os_release(overrides: Mapping[str, str]) -> instructions.Run:
    """A RUN that sets fields of os-release."""
    fields = [f"{key}={_os_release_text(text)}" for key, text in overrides.items()]
    return instructions.run(instructions.BEGIN + _OS_RELEASE, fields, name="branding")


def _os_release_text(text: str) -> str:
    """A value as os-release has it: it reads as the shell's, and nothing in it is expanded."""
    if "\n" in text:
        raise ValidationError("body.release-overrides: a field of os-release is one line")
    return '"' + "".join(f"\\{char}" if char in '\\"$`' else char for char in text) + '"'


# -- the initial RAM disk -----------------------------------------------------------------------

VERSION = """\
version=$(ls /usr/lib/modules | sort -V | tail -n 1)
"""
"""Sets `version`: the kernel that is there, or the newest of them."""

_THEME = """\
if [ ! -d "/usr/share/plymouth/themes/$1" ]; then
  echo "kernel: this image has no theme $1: install its package in a packages module before" >&2
  exit 1
fi
mkdir -p /etc/plymouth /usr/lib/bootc/kargs.d /usr/lib/dracut/dracut.conf.d
printf '[Daemon]\\nTheme=%s\\nShowDelay=0\\nDeviceTimeout=10\\n' "$1" >/etc/plymouth/plymouthd.conf
echo 'kargs = ["rhgb", "quiet", "splash", "plymouth.enable=1", "rd.plymouth=1"]' \\
  >/usr/lib/bootc/kargs.d/00-plymouth.toml
echo 'add_dracutmodules+=" plymouth "' >/usr/lib/dracut/dracut.conf.d/00-plymouth.conf
"""
_NO_THEME = """\
if [ -e /etc/plymouth/plymouthd.conf ]; then : >/etc/plymouth/plymouthd.conf; fi
rm -f /usr/lib/bootc/kargs.d/00-plymouth.toml /usr/lib/dracut/dracut.conf.d/00-plymouth.conf
"""
_DRACUT = """\
dracut --force "/usr/lib/modules/$version/initramfs.img" "$version"
"""
_ANY = """\
if command -v dracut >/dev/null; then
  dracut --force "/usr/lib/modules/$version/initramfs.img" "$version"
elif command -v mkinitramfs >/dev/null; then
  mkinitramfs -o "/usr/lib/modules/$version/initramfs.img" "$version"
else
  echo "kernel: nothing here makes an initial RAM disk: install dracut, or take the method none" >&2
  exit 1
fi
"""


def initrd(body: Initrd) -> tuple[str, list[str]]:
    """The end of a script, which makes the initial RAM disk, and what it takes as arguments.

    Raises ValidationError.
    """
    if body.method == "make-initrd":
        raise ValidationError(
            "body.initrd.method: make-initrd makes none for an image",
            hint="take dracut, or none",
        )
    script = ""
    if body.plymouth_theme:
        script += _NO_THEME if body.plymouth_theme == "disabled" else _THEME
    if body.method != "none":
        maker = _DRACUT if body.method == "dracut" else _ANY
        script += f'{VERSION}depmod -a "$version"\n{maker}'
    return script, [body.plymouth_theme] if body.plymouth_theme else []
