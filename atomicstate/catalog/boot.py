"""Which packages a live install must not touch: what the machine boots from lies outside /usr."""

from __future__ import annotations

import re

_BOOT = re.compile(
    r"(linux-image|linux-modules|linux-signed|kernel-image|grub|grub2|shim|u-boot|dracut"
    r"|initramfs-tools|systemd-boot|extlinux|syslinux|isolinux|refind|lilo|flash-kernel"
    r"|tiny-initramfs|mkinitcpio|booster|elilo|yaboot|zipl|s390-tools|raspi-firmware)"
    r"(-.*|\d.*)?"
)
# They carry one of those prefixes and touch nothing that boots.
_HARMLESS = re.compile(r".*-(doc|dev|source|dbg|dbgsym|tests)")


def is_boot_package(name: str) -> bool:
    """Whether `name` is a kernel, a boot loader or something that makes an initramfs."""
    return _BOOT.fullmatch(name) is not None and _HARMLESS.fullmatch(name) is None
