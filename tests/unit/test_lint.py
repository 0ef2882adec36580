"""What lint finds, rule by rule: each has modules it is right about, and some that are fine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from atomicstate.errors import NotFoundError
from atomicstate.recipe.expand import expand
from atomicstate.recipe.lint import RULES, Finding, lint
from atomicstate.recipe.reader import read
from atomicstate.recipe.resources import Entry, Manifest, NoLibrary
from tests.support.recipes import recipes

if TYPE_CHECKING:
    from atomicstate.recipe.schema import Recipe


class Resources:
    """A library of folders that map paths to contents; a content by itself is a file."""

    def __init__(self, resources: dict[str, dict[str, str] | str]) -> None:
        self._resources = resources
        self._contents: dict[str, str] = {}

    def manifest(self, name: str) -> Manifest | None:
        held = self._resources.get(name)
        if held is None:
            return None
        files = {"": held} if isinstance(held, str) else held
        return tuple(Entry(path, 0o644, self._digest(text)) for path, text in files.items())

    def _digest(self, text: str) -> str:
        digest = f"d{len(self._contents)}"
        self._contents[digest] = text
        return digest

    def content(self, digest: str) -> bytes:
        return self._contents[digest].encode()


def found(modules: str, resources: dict[str, dict[str, str] | str] | None = None) -> list[Finding]:
    recipe = read(f"modules:\n{modules}".encode())
    library = Resources(resources or {})
    expansion = expand(recipe, library)
    assert all(trouble.missing for trouble in expansion.troubles)
    return list(lint(expansion.steps, library))


def rules(modules: str, resources: dict[str, dict[str, str] | str] | None = None) -> set[str]:
    return {finding.rule for finding in found(modules, resources)}


def shell(*lines: str) -> str:
    return "- type: shell\n  body:\n    command: |\n" + "".join(f"      {line}\n" for line in lines)


def copy(destination: str, source: str = "x") -> str:
    return f"- {{type: copy, body: {{source: {source}, destination: {destination}}}}}\n"


def move(source: str, destination: str, more: str = "") -> str:
    body = f"source: {source}, destination: {destination}{more}"
    return f"- {{type: move, body: {{{body}}}}}\n"


def mkdir(*targets: str) -> str:
    return f"- {{type: mkdir, body: {{targets: [{', '.join(targets)}], perm: rwxr-xr-x}}}}\n"


def remove(*targets: str) -> str:
    return f"- {{type: remove, body: {{targets: [{', '.join(targets)}]}}}}\n"


def packages(*install: str, remove: str = "") -> str:
    body = f"install: [{', '.join(install)}], remove: [{remove}]"
    return f"- {{type: packages, body: {{{body}}}}}\n"


def enable(unit: str, state: str = "enabled: true") -> str:
    return f"- {{type: systemd, body: {{targets: [{unit}], {state}}}}}\n"


def kernel(flavour: str = "", method: str = "auto") -> str:
    body = f"kernel-info: {{flavour: '{flavour}'}}, initrd: {{method: {method}}}"
    return f"- {{type: kernel, body: {{{body}}}}}\n"


MERGE = "- {type: merge, body: {source: x, destination: %s}}\n"
LINK = "- {type: link, body: {target: %s, to: /usr/x}}\n"
REPLACE = "- {type: replace, body: {target: %s, pattern: a, repl: b}}\n"
MERGE_OF = "- {type: merge, body: {source: %s, destination: /usr/x}}\n"

FIRES: dict[str, tuple[str, ...]] = {
    "state-files": (
        copy("/var/lib/x/y"),
        copy("/run/x"),
        copy("/home/x"),
        move("/usr/x", "/var/x"),
        MERGE % "/srv/x",
        LINK % "/root/x",
        REPLACE % "/var/lib/x",
        copy("//var/./x"),
        shell("echo a >/var/lib/x"),
        shell("echo a | tee -a /run/x"),
        shell("if true; then touch /var/x; fi"),
        shell("cp -r a b /var/lib/"),
        shell("install -m 644 a /var/lib/a"),
        shell("cp -t /var/lib a"),
        shell("curl -fsSLo x https://example.org && curl --output=/var/x https://example.org"),
        shell("tar -xf a.tar -C /var/lib"),
    ),
    "state-folders": (
        mkdir("/var/lib/x"),
        mkdir("/run/x"),
        shell("mkdir -p /var/lib/x"),
        shell("install -d -m 755 /var/lib/x"),
        mkdir("/var/lib/x") + shell("echo d /var/lib/z 0755 >/usr/lib/tmpfiles.d/z.conf"),
    ),
    "local-software": (
        copy("/opt/x"),
        move("/usr/x", "/usr/local/bin/x"),
        mkdir("/opt/x"),
        LINK % "/usr/local/bin/x",
        shell("install -D x /usr/local/bin/x"),
    ),
    "etc-files": (
        copy("/etc/x"),
        MERGE % "/etc/x",
        REPLACE % "/etc/x",
        shell("sed -i -e s/a/b/ /etc/x"),
        shell("echo x >>/etc/x"),
    ),
    "machine-files": (copy("/etc/machine-id"), MERGE % "/etc/fstab", copy("/etc/ssh/ssh_host_key")),
    "account-files": (
        copy("/etc/passwd"),
        MERGE % "/etc/group",
        REPLACE % "/etc/shadow",
        shell("echo x:x:1: >>/etc/group"),
    ),
    "account-commands": (
        shell("useradd -r x"),
        shell("set -e", "true && /usr/sbin/groupadd x"),
        shell("adduser --system x"),
        shell("echo root:x | chpasswd"),
    ),
    "boot-loader-commands": (
        shell("update-grub"),
        shell("grub-install /dev/sda"),
        shell("sudo grub2-mkconfig -o /boot/grub2/grub.cfg"),
    ),
    "initramfs-commands": (
        shell("update-initramfs -u"),
        shell("dracut --force"),
        shell("make-initrd"),
        shell("mkinitrd"),
    ),
    "package-commands": (
        shell("apt-get update && apt-get install -y x"),
        shell("DEBIAN_FRONTEND=x apt -y upgrade"),
        shell("dpkg -i x.deb"),
        shell("rpm -Uvh x.rpm"),
        shell("dnf remove x"),
    ),
    "running-system": (
        shell("systemctl daemon-reload"),
        shell("systemctl --no-ask-password restart x || true"),
        shell("systemctl enable --now x"),
        shell("service x start"),
        shell("reboot"),
        shell("modprobe x"),
        shell("hostnamectl set-hostname x"),
        shell("sysctl -p"),
    ),
    "initramfs-missing": (
        packages("linux-image-amd64"),
        packages("zfs-dkms"),
        kernel("un-def", "none"),
        kernel() + packages("kernel-image-6.12"),
        shell("dracut -f /usr/lib/modules/1/initramfs.img 1") + packages("kernel-modules-x-6.12"),
    ),
    "enabled-early": (
        enable("nginx.service") + packages("nginx"),
        enable("nginx") + packages("nginx"),
        enable("wg-quick@a.service") + packages("wg-quick"),
        enable("x.timer") + copy("/usr/lib/systemd/system/x.timer"),
    ),
    "used-after-removal": (
        remove("/usr/x") + move("/usr/x/y", "/usr/z"),
        remove("/usr/x") + REPLACE % "/usr/x",
        remove("/usr/x/") + move("//usr/x/y", "/usr/z"),
        remove("/usr/x") + MERGE_OF % "/usr/x",
        move("/usr/x", "/usr/y") + REPLACE % "/usr/x/z",
        packages(remove="nginx") + enable("nginx"),
    ),
}

SILENT: dict[str, tuple[str, ...]] = {
    "state-files": (
        copy("/usr/share/x"),
        copy("/variety/x"),
        move("/var/x", "/usr/x"),
        mkdir("/var/lib/x"),
        remove("/var/lib/x"),
        shell("rm -rf /var/lib/x"),
        shell("cat /var/lib/x >/usr/share/x"),
        shell("# echo a >/var/lib/x"),
        shell("echo '>/var/x'"),
        shell("x >/dev/null 2>&1"),
        shell("touch /var/cache/x"),
        shell("ln -s /var/lib/x /usr/lib/x"),
        shell("cp /var/lib/x ."),
    ),
    "state-folders": (
        mkdir("/usr/lib/x"),
        mkdir("/var/cache/x"),
        mkdir("/home"),
        mkdir("/var/lib/x") + shell("echo d /var/lib/x 0755 >/usr/lib/tmpfiles.d/x.conf"),
        # The file is not to be had here: nobody knows what it declares.
        copy("/usr/lib/tmpfiles.d/x.conf") + mkdir("/var/lib/x"),
    ),
    "local-software": (copy("/usr/lib/x"), move("/opt/x", "/usr/lib/x"), remove("/opt/x")),
    "etc-files": (
        copy("/usr/lib/x"),
        copy("/etcetera/x"),
        mkdir("/etc/x"),
        remove("/etc/x"),
        copy("/etc/passwd"),
        copy("/etc/fstab"),
        shell("cat /etc/os-release"),
        shell("sed s/a/b/ /etc/x"),
    ),
    "machine-files": (copy("/etc/fstab.d/x"), shell(": >/etc/machine-id"), remove("/etc/fstab")),
    "account-files": (copy("/etc/passwd-x"), shell("cat /etc/passwd")),
    "account-commands": (shell("echo useradd x"), shell("getent passwd x"), shell("# useradd x")),
    "boot-loader-commands": (shell("echo update-grub"), shell("cat /etc/default/grub")),
    "initramfs-commands": (
        shell("dracut -f /usr/lib/modules/6.1/initramfs.img 6.1"),
        shell("mkinitramfs -o /lib/modules/$V/initramfs.img $V"),
        shell("command -v dracut"),
        kernel("amd64"),
    ),
    "package-commands": (
        shell("apt-get clean"),
        shell("apt-cache policy"),
        shell("dpkg -l", "dpkg-divert --add /x"),
        shell("rpm -qa"),
        shell("echo apt-get install x"),
        shell("pip install x"),
        packages("jq"),
    ),
    "running-system": (
        shell("systemctl enable x"),
        shell("systemctl --root=/ mask x"),
        shell("echo reboot"),
        shell("sysctl -a"),
        shell("hostnamectl"),
        enable("x"),
    ),
    "initramfs-missing": (
        packages("linux-image-amd64") + kernel(),
        packages("linux-image-amd64") + shell("dracut -f"),
        kernel("un-def"),
        kernel(method="none"),
        packages("kernel-headers", "linux-doc"),
    ),
    "enabled-early": (
        packages("nginx") + enable("nginx"),
        enable("nginx"),
        enable("nginx") + packages("nginx-doc"),
        packages("nginx") + enable("nginx") + packages("nginx"),
        enable("nginx", "masked: true") + packages("nginx"),
        copy("/usr/lib/systemd/system/x.timer") + enable("x.timer"),
    ),
    "used-after-removal": (
        move("/usr/x", "/usr/z") + remove("/usr/x"),
        remove("/usr/x") + copy("/usr/x") + REPLACE % "/usr/x/a",
        remove("/usr/x") + shell("true") + REPLACE % "/usr/x",
        remove("/usr/x") + packages("jq") + REPLACE % "/usr/x",
        remove("/usr/x") + REPLACE % "/usr/xy",
        move("/usr/x", "/usr/y", ", create-link: true") + REPLACE % "/usr/x",
        packages(remove="nginx") + packages("nginx") + enable("nginx"),
        packages(remove="nginx") + enable("nginx", "masked: true"),
    ),
}


def cases(of: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(rule, modules) for rule, each in of.items() for modules in each]


def test_every_rule_is_tried_both_ways() -> None:
    names = {rule.name for rule in RULES}
    assert FIRES.keys() == SILENT.keys() == names


@pytest.mark.parametrize(("rule", "modules"), cases(FIRES))
def test_a_rule_that_fires(rule: str, modules: str) -> None:
    assert rule in rules(modules)


@pytest.mark.parametrize(("rule", "modules"), cases(SILENT))
def test_a_rule_that_does_not(rule: str, modules: str) -> None:
    assert rule not in rules(modules)


def test_the_files_of_a_folder_count_where_they_come_to_lie() -> None:
    root = {"root": {"var/lib/a": "", "usr/lib/b": "", "etc/c": ""}}
    findings = found(copy("/", "root"), root)
    assert {finding.rule for finding in findings} == {"state-files", "etc-files"}
    assert "/var/lib/a will not be there" in findings[0].message


def test_many_files_in_one_place_are_one_finding() -> None:
    root = {"root": {f"etc/{name}": "" for name in "abcde"}}
    (finding,) = found(copy("/", "root"), root)
    assert finding.message.startswith("/etc/a, /etc/b, /etc/c and 2 more is merged")


def test_a_folder_that_a_copied_file_declares_is_fine() -> None:
    root = {"root": {"usr/lib/tmpfiles.d/x.conf": "d /var/lib/x 0755 root root -\n"}}
    assert rules(copy("/", "root") + mkdir("/var/lib/x"), root) == set()
    assert rules(copy("/", "root") + mkdir("/var/lib/y"), root) == {"state-folders"}


def test_a_unit_in_a_copied_folder_is_what_brings_it() -> None:
    root = {"root": {"usr/lib/systemd/system/x.service": ""}}
    (finding,) = found(enable("x") + copy("/", "root"), root)
    assert finding.rule == "enabled-early"
    assert "comes with modules[1]" in finding.message


def test_a_place_that_a_program_looks_at_in_usr_is_named() -> None:
    (finding,) = found(copy("/etc/sysctl.d/x.conf"))
    assert "take /usr/lib/sysctl.d in the place of /etc/sysctl.d" in finding.instead


def test_a_finding_in_an_included_document_is_told_with_its_name() -> None:
    included = {"more.yml": "modules:\n" + shell("reboot")}
    include = "- {type: include, body: {targets: [more.yml]}}\n"
    (finding,) = found(packages("jq") + include, included)
    assert finding.place == "more.yml: modules[0].body.command"


def test_a_finding_names_the_event_of_its_module() -> None:
    recipe = read(f"modules:\n{packages('jq')}{shell('reboot')}".encode())
    expansion = expand(recipe, NoLibrary(), owners=(0, 7))
    (finding,) = lint(expansion.steps, NoLibrary())
    assert (finding.event, finding.place) == (7, "modules[1].body.command")


def test_what_a_condition_leaves_out_is_not_looked_at() -> None:
    assert found(shell("reboot") + "  if: 'false'\n") == []


def test_findings_come_in_the_order_of_the_modules() -> None:
    findings = found(remove("/usr/x") + REPLACE % "/usr/x" + shell("reboot") + copy("/var/x"))
    assert [finding.module for finding in findings] == [f"modules[{place}]" for place in (1, 2, 3)]


class Broken(NoLibrary):
    """A library whose every resource is a file that can't be read."""

    def manifest(self, name: str) -> Manifest | None:
        return (Entry("", 0o644, "gone"),)

    def content(self, digest: str) -> bytes:
        raise NotFoundError(digest)


@given(recipes)
@settings(deadline=None, max_examples=100)
def test_any_recipe_can_be_looked_over(recipe: Recipe) -> None:
    names = {rule.name for rule in RULES}
    for library in (NoLibrary(), Broken()):
        steps = expand(recipe, library).steps
        findings = lint(steps, library)
        assert findings == lint(steps, library)
        assert {finding.rule for finding in findings} <= names
        assert {finding.module for finding in findings} <= {step.where for step in steps}
