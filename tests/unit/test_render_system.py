"""Units, names, kernels and brandings in a Containerfile."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe import reader
from atomicstate.recipe.dialects import DIALECTS
from tests.support.containerfiles import layers, only, rendered


def bash_takes(script: str) -> bool:
    ran = subprocess.run(
        ["/bin/bash", "-n", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    return (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("body", "verb", "call"),
    [
        ("enabled: true", "enable", "systemctl --root=/"),
        ("enabled: false", "disable", "systemctl --root=/"),
        ("masked: true", "mask", "systemctl --root=/"),
        ("enabled: true, global: true", "enable", "systemctl --root=/ --global"),
    ],
)
def test_units(body: str, verb: str, call: str) -> None:
    run = only("systemd", f"{{targets: [a.service, 'b@c'], {body}}}")
    assert run.arguments == (verb, "a.service", "b@c")
    assert run.script.endswith(f'\n{call} "$verb" -- "$@"\n')


def test_the_name_of_the_host_is_copied() -> None:
    made = rendered("modules: [{type: network, body: {hostname: box.example}}]")
    name, hosts = layers(made.content)
    assert [(copied.keyword, copied.words[1]) for copied in (name, hosts)] == [
        ("COPY", "/etc/hostname"),
        ("COPY", "/etc/hosts"),
    ]
    assert made.files == {
        name.words[0]: b"box.example\n",
        hosts.words[0]: b"127.0.0.1 localhost box.example\n::1 localhost6 box.example6\n",
    }
    assert name.flags == hosts.flags == ("--chown=0:0", "--chmod=0644")


# -- branding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_fields_of_os_release(dialect: str) -> None:
    run = only("branding", "{release-overrides: {VARIANT: 'a \"b\" $c `d` \\e', X_1: ''}}", dialect)
    assert run.arguments == ('VARIANT="a \\"b\\" \\$c \\`d\\` \\\\e"', 'X_1=""')
    assert [shlex.split(field) for field in run.arguments] == [
        ['VARIANT=a "b" \\$c \\`d\\` \\e'],
        ["X_1="],
    ]


def test_the_packages_of_a_branding_are_apms() -> None:
    made = rendered("modules: [{type: branding, body: {name: x, subpackages: [a]}}]", "apm")
    [run] = layers(made.content)
    [(path, content)] = made.files.items()
    assert f"--mount=type=bind,source={path},target=/run/atomicstate-source" in run.flags
    assert run.arguments == ("/run/atomicstate-source",)
    update, branding = reader.read(content).modules
    assert (update.type, update.body.update) == ("packages", True)
    assert (branding.body.name, branding.body.subpackages) == ("x", ("a",))


@pytest.mark.parametrize("dialect", ["deb", "rpm"])
def test_elsewhere_they_are_refused(dialect: str) -> None:
    with pytest.raises(ValidationError, match=r"modules\[0\].*branding: body.name") as caught:
        only("branding", "{name: x}", dialect)
    for choice in ("release-overrides", "an `if`", "dialect apm", "shell module"):
        assert choice in caught.value.hint


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_kind_of_build_needs_a_branding(dialect: str) -> None:
    with pytest.raises(ValidationError, match=r"body.build-type"):
        only("branding", "{build-type: nightly}", dialect)


def test_what_apm_would_fill_in_again_is_refused() -> None:
    body = "{name: x, release-overrides: {A: '$'}}"
    document = f"modules: [{{type: branding, body: {body}}}]"
    rendered(document, "apm")
    from atomicstate.recipe.containerfile import render
    from atomicstate.recipe.schema import BrandingBody
    from tests.support.containerfiles import BASE, BASE_ID, step

    body_ = BrandingBody("x", release_overrides={"A": "${{ Env.HOME }}"})
    with pytest.raises(ValidationError, match="APM would take it for its own"):
        render([step("branding", body_)], BASE_ID, BASE, "apm", {})


# -- the kernel ---------------------------------------------------------------------------------


def test_a_flavour_of_debian_is_a_package() -> None:
    body = "{kernel-info: {flavour: cloud-amd64, include-headers: true}, initrd: {method: dracut}}"
    run = only("kernel", body)
    packages = ("linux-image-cloud-amd64", "linux-headers-cloud-amd64", "dracut")
    assert run.arguments == packages
    assert "\ncount=3\n" in run.script
    assert "dracut --force" in run.script
    assert bash_takes(run.script)


def test_headers_alone_are_those_of_the_kernel_that_is_there() -> None:
    run = only("kernel", "{kernel-info: {include-headers: true}, initrd: {method: none}}")
    assert 'apt install -- "linux-headers-$version"' in run.script
    assert bash_takes(run.script)


def test_modules_of_a_kernel_are_refused_on_debian() -> None:
    with pytest.raises(ValidationError, match=r"body.kernel-info.modules") as caught:
        only("kernel", "{kernel-info: {flavour: amd64, modules: [drm]}}")
    assert "name them in a packages module" in caught.value.hint


def test_the_newest_kernel_of_alt_is_for_apm_to_find() -> None:
    body = "{kernel-info: {flavour: '6.12', modules: [drm]}, initrd: {method: dracut}}"
    with pytest.raises(
        ValidationError, match=r"body.kernel-info: on a base of the dialect rpm"
    ) as caught:
        only("kernel", body, "rpm")
    assert "the dialect apm" in caught.value.hint
    made = rendered(f"modules: [{{type: kernel, body: {body}}}]", "apm")
    _update, kernel = reader.read(*made.files.values()).modules
    assert (kernel.body.kernel_info.flavour, kernel.body.initrd.method) == ("6.12", "dracut")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("method", "has", "lacks"),
    [("dracut", "dracut --force", "mkinitramfs"), ("auto", "mkinitramfs -o", "apm system")],
)
def test_an_initial_ram_disk_alone(dialect: str, method: str, has: str, lacks: str) -> None:
    run = only("kernel", f"{{initrd: {{method: {method}}}}}", dialect)
    assert has in run.script
    assert lacks not in run.script
    assert run.flags == ()
    assert bash_takes(run.script)


def test_none_is_no_layer() -> None:
    document = "modules: [{type: kernel, body: {initrd: {method: none}}}]"
    assert rendered(document) == rendered("modules: []")


def test_make_initrd_makes_none() -> None:
    with pytest.raises(ValidationError, match=r"body.initrd.method") as caught:
        only("kernel", "{initrd: {method: make-initrd}}")
    assert "dracut" in caught.value.hint


def test_a_theme_while_it_boots() -> None:
    run = only("kernel", "{initrd: {method: none, plymouth-theme: tribar}}")
    assert run.arguments == ("tribar",)
    assert "/etc/plymouth/plymouthd.conf" in run.script
    assert bash_takes(run.script)
    off = only("kernel", "{initrd: {method: none, plymouth-theme: disabled}}", "rpm")
    assert "rm -f /usr/lib/bootc/kargs.d/00-plymouth.toml" in off.script
    assert rendered(
        "modules: [{type: kernel, body: {initrd: {plymouth-theme: tribar}}}]", "apm"
    ).files
