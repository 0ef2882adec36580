"""What differs most from one distribution to the next: the `kernel` and `branding` modules.

On Debian a flavour is a package, linux-image-FLAVOUR. What only APM knows, which of ALT's kernels
is the newest and what goes along with it, APM does itself, inside an image that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import ValidationError
from atomicstate.recipe import writer
from atomicstate.recipe.names import valid_package
from atomicstate.recipe.render import apt, instructions, system
from atomicstate.recipe.render.context import WORK, Context, unable
from atomicstate.recipe.schema import Module, PackagesBody, Recipe

if TYPE_CHECKING:
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.schema import BrandingBody, KernelBody

_APM_BASE = "take a base that has APM in it (the dialect apm)"

# One kernel alone, and its image beside its modules: a deployment boots the one that is there. What
# the kernel's package had made for /boot nothing reads.
_DEB_FLAVOUR = """\
apt update
apt install -- "${@:1:count}"
mapfile -t parts < <(dpkg-query -W -f '${Depends}\\n' -- "$1" | grep -oE 'linux-image-[^ ,|]+')
version=$(dpkg -L -- "$1" "${parts[@]}" | sed -n 's,^/boot/vmlinuz-,,p' | head -n 1)
if [ -z "$version" ]; then
  echo "kernel: there is no kernel in the package $1" >&2
  exit 1
fi
mapfile -t others < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' 'linux-image-*' |
  sed -n 's/^ii *//p' | grep -vxF -f <(printf '%s\\n' "$1" "${parts[@]}"))
[ "${#others[@]}" -eq 0 ] || apt remove -- "${others[@]}"
find /usr/lib/modules -mindepth 1 -maxdepth 1 ! -name "$version" -exec rm -rf -- {} +
cp -- "/boot/vmlinuz-$version" "/usr/lib/modules/$version/vmlinuz"
rm -f -- "/boot/initrd.img-$version"
shift "$count"
"""
_DEB_HEADERS = f"""\
{system.VERSION}apt update
apt install -- "linux-headers-$version"
"""


def kernel(step: Step, body: KernelBody, context: Context) -> instructions.Run | None:
    """The kernel and its initial RAM disk. Raises ValidationError for what can't be done."""
    info, ram = body.kernel_info, body.initrd
    brings = bool(info.flavour or info.modules or info.include_headers)
    if not (brings or ram.method or ram.plymouth_theme):
        return None
    if context.dialect == "deb":
        return _deb_kernel(step, body, context)
    if context.dialect == "apm" and (brings or ram.plymouth_theme):
        return _by_apm(step, context)
    if brings:
        raise unable(
            context.dialect,
            "kernel-info",
            "nothing knows which kernel is the newest, and what goes along with it",
            _APM_BASE,
        )
    script, arguments = system.initrd(ram)
    if not script:
        return None
    return instructions.run(instructions.BEGIN + script, arguments, name="kernel", env=step.env)


def _deb_kernel(step: Step, body: KernelBody, context: Context) -> instructions.Run | None:
    info, ram = body.kernel_info, body.initrd
    if info.modules:
        raise unable(
            context.dialect,
            "kernel-info.modules",
            "there are no packages of modules for a flavour",
            "name them in a packages module, as zfs-dkms",
        )
    script, arguments = system.initrd(ram)
    if not (info.flavour or info.include_headers):
        if not script:
            return None
        return instructions.run(instructions.BEGIN + script, arguments, name="kernel", env=step.env)
    if not info.flavour:
        return apt.run(context, step, _DEB_HEADERS + script, arguments)
    packages = [valid_package(f"linux-image-{info.flavour}")]
    if info.include_headers:
        packages.append(valid_package(f"linux-headers-{info.flavour}"))
    if ram.method == "dracut":
        # A kernel of Debian's brings another maker of it where this one is not there already.
        packages.append("dracut")
    flavour = f"count={len(packages)}\n{_DEB_FLAVOUR}"
    return apt.run(context, step, flavour + script, [*packages, *arguments])


def branding(step: Step, body: BrandingBody, context: Context) -> instructions.Run | None:
    """What os-release says, and the packages of a branding, which only APM knows.

    Raises ValidationError for what can't be done.
    """
    if body.name and context.dialect == "apm":
        return _by_apm(step, context)
    if body.name:
        raise unable(
            context.dialect,
            "name",
            "there are no packages of a branding that could be found"
            if context.dialect == "deb"
            else "nothing knows what belongs to a branding",
            "set the fields in `release-overrides` alone",
            _APM_BASE,
        )
    if body.build_type:
        raise ValidationError(
            "body.build-type: it goes with the packages of a branding, and there is no `name`",
            hint="set the fields in `release-overrides`",
        )
    return system.os_release(body.release_overrides) if body.release_overrides else None


# APM finds packages in its lists, which no layer keeps; what it fetched stays in none.
_APM = f"""\
set -euo pipefail
apm system image build --config "$1" --workdir {WORK}
for dir in /var/cache/apt/archives /var/lib/apt/lists; do
  [ ! -d "$dir" ] || find "$dir" -type f -delete
done
"""


def _by_apm(step: Step, context: Context) -> instructions.Run:
    """A RUN of APM with a recipe of this one step."""
    update = Module("packages", PackagesBody(update=True))
    alone = Module(step.module.type, step.module.body)
    content = writer.write(Recipe(modules=(update, alone)))
    if b"${{" in content:
        raise ValidationError("`${{` stands in a value, and APM would take it for its own")
    mount, target = context.mounted(context.file(content))
    return instructions.run(
        _APM,
        [target],
        name=step.module.type,
        mounts=(f"type=tmpfs,target={WORK}", mount),
        env=step.env,
    )
