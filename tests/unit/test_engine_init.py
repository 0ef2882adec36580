"""`init`: what is adopted, with the recipe that lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.engine import documents, importing
from atomicstate.engine.initialize import initialize
from atomicstate.engine.status import status
from atomicstate.errors import ImageError, NoOperationError, ValidationError
from atomicstate.recipe.resources import decode
from tests.support.fakehost import BASE, FakeHost, fake_host
from tests.support.sessions import Machine

if TYPE_CHECKING:
    from pathlib import Path

WITH_RESOURCES = """\
modules:
  - type: include
    body: {targets: [more.yml, /usr/share/includes/a.yml]}
  - type: copy
    body: {source: root, destination: /}
"""


@pytest.fixture
def host() -> FakeHost:
    return fake_host()


@pytest.fixture
def machine(tmp_path: Path, host: FakeHost) -> Machine:
    return Machine(tmp_path / "state", host)


def write(machine: Machine, name: str, text: str) -> None:
    path = machine.directory / "recipe" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def origin(machine: Machine):
    return machine.events()[0].body


def test_a_recipe_without_an_image_takes_the_booted_one(machine):
    write(machine, "image.yml", "modules: []\n")
    result = machine.command(initialize)
    assert (result.base, origin(machine).base) == (BASE, BASE)
    shown = machine.command(documents.recipe).content
    assert shown == f'image: "{BASE}"\nmodules: []\n'.encode()


def test_the_recipe_of_a_person_is_left_as_it_is(machine):
    write(machine, "image.yml", "# ours\nmodules: []\n")
    machine.command(initialize)
    assert (machine.directory / "recipe/image.yml").read_text() == "# ours\nmodules: []\n"


def test_the_resources_beside_the_recipe_are_adopted_with_it(machine):
    machine.host.base_files["/usr/share/includes/a.yml"] = b"modules: []\n"
    write(machine, "image.yml", WITH_RESOURCES)
    write(
        machine,
        "resources/more.yml",
        "modules:\n  - type: copy\n    body: {source: x, destination: /x}\n",
    )
    write(machine, "resources/root/etc/motd", "hello")
    write(machine, "resources/x", "x")
    write(machine, "resources/unused", "unused")
    result = machine.command(initialize)
    assert result.warnings == ()
    adopted = origin(machine).resources
    assert set(adopted) == {"more.yml", "root", "x", "/usr/share/includes/a.yml"}
    with machine.session() as session:
        entries = decode(session.blobs.get(adopted["root"]))
        contents = [session.blobs.get(entry.digest) for entry in entries if entry.digest]
        assert contents == [b"hello"]
        composed = documents.composition(session, session.system(), ())
        assert documents.expansion(session, session.system(), composed).troubles == ()


def test_what_was_adopted_is_no_edit(machine):
    machine.host.base_files["/usr/share/includes/a.yml"] = b"modules: []\n"
    write(machine, "image.yml", WITH_RESOURCES)
    write(machine, "resources/more.yml", "modules: []\n")
    write(machine, "resources/root/etc/motd", "hello")
    machine.command(initialize)
    assert machine.command(status).drift is None

    def again(session):
        source = importing.source_of(session, None, None)
        return importing.propose(session, source, importing.Options())

    with pytest.raises(NoOperationError):
        machine.command(again)


def test_a_resource_that_is_not_there_is_told_and_no_error(machine):
    write(machine, "image.yml", WITH_RESOURCES)
    result = machine.command(initialize)
    assert len(result.warnings) == 3
    assert "there is no 'more.yml' in the resources" in result.warnings[0]
    assert origin(machine).resources == {}


def test_what_seems_to_be_a_secret_is_told(machine):
    write(machine, "image.yml", "modules:\n  - type: shell\n    body: {command: A_TOKEN=abc x}\n")
    assert "looks like a secret" in machine.command(initialize).warnings[0]


def test_a_recipe_with_problems_is_refused_with_all_of_them(machine):
    write(machine, "image.yml", "modulez: []\nimages: x\n")
    with pytest.raises(ValidationError) as caught:
        machine.command(initialize)
    assert len(caught.value.details["problems"]) == 2
    assert not (machine.directory / "log").exists()


@pytest.mark.parametrize(
    ("files", "dialect"),
    [
        (("/var/lib/dpkg/status",), "deb"),
        (("/usr/lib/sysimage/dpkg/status", "/usr/bin/apt-get", "/usr/bin/rpm"), "deb"),
        (("/usr/bin/apt-get", "/usr/bin/rpm"), "rpm"),
        (("/usr/libexec/apt-get", "/usr/bin/rpm"), "rpm"),
        (("/usr/bin/apt-get", "/usr/bin/rpm", "/usr/bin/apm"), "apm"),
    ],
)
def test_the_dialect_is_found_in_the_base_image(machine, files, dialect):
    machine.host.base_files = dict.fromkeys(files, b"")
    assert machine.command(initialize).dialect == dialect
    assert origin(machine).dialect == dialect


@pytest.mark.parametrize("files", [(), ("/usr/bin/rpm",), ("/usr/bin/apt-get",)])
def test_a_base_that_does_not_tell_its_dialect_is_refused(machine, files):
    machine.host.base_files = dict.fromkeys(files, b"")
    with pytest.raises(ImageError) as caught:
        machine.command(initialize)
    assert "--dialect" in caught.value.hint


def test_the_dialect_can_be_said(machine):
    machine.host.base_files = {}
    assert machine.command(lambda s: initialize(s, "rpm")).dialect == "rpm"
