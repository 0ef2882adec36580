"""Rules about what shell commands call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.recipe.lint.findings import Found, Rule
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.lint.effects import Effects
    from atomicstate.recipe.lint.files import Check
    from atomicstate.recipe.shelltext import Command

_ACCOUNTS = frozenset(
    {"adduser", "addgroup", "chpasswd", "gpasswd", "groupadd", "groupmod"}
    | {"newusers", "passwd", "useradd", "usermod"}
)
_BOOT_LOADERS = frozenset(
    {"bootctl", "efibootmgr", "extlinux", "grub-install", "grub-mkconfig", "grub2-install"}
    | {"grub2-mkconfig", "grubby", "lilo", "update-extlinux", "update-grub", "update-grub2"}
)
_RAM_DISKS = frozenset(
    {"dracut", "make-initrd", "mkinitcpio", "mkinitramfs", "mkinitrd", "update-initramfs"}
)
_KERNEL_FOLDER = "/lib/modules/"

_PACKAGE_VERBS = frozenset(
    {"autoremove", "dist-upgrade", "full-upgrade", "install", "purge", "reinstall", "remove"}
    | {"update", "upgrade"}
)
_PACKAGE_TOOLS = frozenset({"apt", "apt-get", "aptitude", "dnf", "microdnf", "yum", "zypper"})
_PACKAGE_FILES = {
    "dpkg": frozenset({"-i", "--install", "-r", "--remove", "-P", "--purge"}),
    "rpm": frozenset({"-i", "-U", "-F", "-e", "--install", "--upgrade", "--erase", "-ivh", "-Uvh"}),
}

_RUNNING_VERBS = frozenset(
    {"daemon-reexec", "daemon-reload", "halt", "isolate", "kill", "poweroff", "reboot", "reload"}
    | {"reload-or-restart", "restart", "start", "stop", "suspend", "try-restart"}
)
_RUNNING_TOOLS = frozenset(
    {"halt", "insmod", "invoke-rc.d", "modprobe", "nmcli", "poweroff", "reboot", "rmmod"}
    | {"shutdown", "swapon", "telinit"}
)
_RUNNING_WORDS = {
    "hostnamectl": ("set-hostname", "hostname"),
    "localectl": ("set-locale", "set-keymap", "set-x11-keymap"),
    "service": ("start", "stop", "restart", "reload"),
    "sysctl": ("-w", "-p", "--write", "--load", "--system"),
    "timedatectl": ("set-time", "set-timezone", "set-ntp", "set-local-rtc"),
    "udevadm": ("trigger", "control", "settle"),
}


def makes_ram_disk(command: Command) -> bool:
    """Whether it makes an initial RAM disk, wherever that comes to lie."""
    return command.program in _RAM_DISKS


def _adds_account(command: Command) -> bool:
    return command.program in _ACCOUNTS


def _sets_boot_loader(command: Command) -> bool:
    return command.program in _BOOT_LOADERS


def _makes_ram_disk_elsewhere(command: Command) -> bool:
    return makes_ram_disk(command) and not any(_KERNEL_FOLDER in word for word in command.words)


def _changes_packages(command: Command) -> bool:
    if command.program in _PACKAGE_TOOLS:
        return not _PACKAGE_VERBS.isdisjoint(command.operands)
    return not _PACKAGE_FILES.get(command.program, frozenset()).isdisjoint(command.words)


def _needs_running_system(command: Command) -> bool:
    program = command.program
    if program == "systemctl":
        offline = any(word.startswith("--root") for word in command.words)
        verb = command.operands[:1]
        return bool(verb) and (
            verb[0] in _RUNNING_VERBS or ("--now" in command.words and not offline)
        )
    words = _RUNNING_WORDS.get(program, ())
    return program in _RUNNING_TOOLS or any(word in words for word in command.words[1:])


def _calls(
    matches: Callable[[Command], bool],
) -> Callable[[Sequence[Effects]], Iterator[tuple[Step, Found]]]:
    """A check that finds the commands which match: one finding for a step."""

    def check(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
        for step, _writes, commands in effects:
            found = [command for command in commands if matches(command)]
            if found:
                more = f" and {len(found) - 1} more" if len(found) > 1 else ""
                yield step, Found(("body", "command"), _line(found[0]) + more)

    return check


def _line(command: Command) -> str:
    text = " ".join(command.words)
    return f"line {command.line} calls {shown(text)}"


CHECKS: tuple[tuple[Rule, Check], ...] = (
    (
        Rule(
            "account-commands",
            "warning",
            "useradd, groupadd and their kin called",
            "a machine that has accounts of its own keeps its own /etc/passwd and /etc/group, and"
            " lacks what is added here",
            "declare system accounts in a file in /usr/lib/sysusers.d; people's are the machine's",
        ),
        _calls(_adds_account),
    ),
    (
        Rule(
            "boot-loader-commands",
            "warning",
            "update-grub, grub-install and their kin called",
            "the boot loader is none of the image's: no disk is there while it is built, and what"
            " deploys the image writes the boot entries",
            "leave it out; arguments for the kernel are the deployment's (kargs)",
        ),
        _calls(_sets_boot_loader),
    ),
    (
        Rule(
            "initramfs-commands",
            "warning",
            "mkinitrd, dracut, update-initramfs and their kin called for a place of their own",
            "a deployment boots /usr/lib/modules/VERSION/initramfs.img alone, and the version that"
            " is taken if none is named is that of the kernel that runs now, not of the image's",
            "let a `kernel` module make it (initrd.method), or name that file and the version",
        ),
        _calls(_makes_ram_disk_elsewhere),
    ),
    (
        Rule(
            "package-commands",
            "warning",
            "apt-get, dnf, dpkg -i and their kin called",
            "the layer is cached, so a later build takes it as it is, with what was the newest"
            " then; and what it brings is no package that the recipe speaks of",
            "name the packages in a `packages` module, their repositories in a `repos` module",
        ),
        _calls(_changes_packages),
    ),
    (
        Rule(
            "running-system",
            "warning",
            "systemctl start or daemon-reload, reboot, modprobe and their kin called",
            "nothing of the system runs while its image is built",
            "enable a unit in a `systemd` module, name the host in a `network` module; the rest"
            " belongs into a unit that does it when the system starts",
        ),
        _calls(_needs_running_system),
    ),
)
