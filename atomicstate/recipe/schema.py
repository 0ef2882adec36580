"""The recipe's schema: one Struct for each part of image.yml, strict.

A type of module is one body Struct, listed in BODIES. What a Struct can't say by its types (what
excludes what, which form a value has) is in checks.py. The descriptions are what docs/recipe.md
and the JSON Schema say.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Text = Annotated[str, Meta(min_length=1)]
"""Text that must not be empty: an empty one is as good as none."""


class Body(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="kebab"):
    """What all bodies have in common: keys are written with dashes."""


class PackagesBody(Body, frozen=True):
    """Packages that come and packages that go, by name, in one transaction of apt."""

    install: Annotated[tuple[str, ...], Meta(description="Packages that shall be there.")] = ()
    remove: Annotated[tuple[str, ...], Meta(description="Packages that shall not be there.")] = ()
    update: Annotated[bool, Meta(description="Fetch the package lists first.")] = False
    upgrade: Annotated[bool, Meta(description="Upgrade every package before that.")] = False
    depends: Annotated[
        bool, Meta(description="Remove, too, what only the removed packages needed.")
    ] = False
    options: Annotated[
        dict[str, str], Meta(description="Settings of apt for this module, as Acquire::Retries.")
    ] = {}


class ReposBody(Body, frozen=True):
    """Where packages come from."""

    clean: Annotated[bool, Meta(description="Forget all repositories first.")] = False
    custom: Annotated[tuple[str, ...], Meta(description="Lines as in sources.list.")] = ()
    branch: Annotated[
        str, Meta(description="A branch of the distribution, in the place of the others.")
    ] = ""
    date: Annotated[
        str,
        Meta(description="That branch as it was on a day: YYYYMMDD or YYYY/MM/DD, or `latest`."),
    ] = ""
    tasks: Annotated[
        tuple[str, ...], Meta(description="Numbers of build tasks whose packages are on offer.")
    ] = ()
    name: Annotated[str, Meta(description="Has no meaning any more.", extra={"old": True})] = ""
    no_update: Annotated[
        bool, Meta(description="Leave the package lists as they are afterwards.")
    ] = False
    clean_temporary: Annotated[
        bool, Meta(description="Forget the repositories of tasks first.")
    ] = False


class KernelInfo(Body, frozen=True):
    """Which kernel."""

    flavour: Annotated[str, Meta(description="The kernel's flavour; the newest of it comes.")] = ""
    modules: Annotated[
        tuple[str, ...], Meta(description="Kernel modules that are packages of their own.")
    ] = ()
    no_inherit_modules: Annotated[
        bool, Meta(description="Leave out the modules that the kernel before had.")
    ] = False
    include_headers: Annotated[bool, Meta(description="The headers, too.")] = False


class Initrd(Body, frozen=True):
    """How the initial RAM disk is made."""

    method: Annotated[
        Literal["", "auto", "none", "dracut", "make-initrd"],
        Meta(description="What makes it; `auto` takes what is there."),
    ] = ""
    plymouth_theme: Annotated[
        str, Meta(description="The theme while it boots; `disabled` for none.")
    ] = ""


class KernelBody(Body, frozen=True):
    """The kernel and its initial RAM disk."""

    kernel_info: Annotated[KernelInfo, Meta(description="Which kernel.")] = KernelInfo()
    initrd: Annotated[Initrd, Meta(description="How its initial RAM disk is made.")] = Initrd()


class BrandingBody(Body, frozen=True):
    """What the system calls itself, and its looks."""

    name: Annotated[
        str, Meta(description="The branding's name: its packages are branding-NAME-....")
    ] = ""
    subpackages: Annotated[
        tuple[str, ...], Meta(description="Which of its packages; all without any.")
    ] = ()
    release_overrides: Annotated[
        dict[str, str], Meta(description="Fields of os-release that are added or changed.")
    ] = {}
    build_type: Annotated[
        str, Meta(description="The kind of build, as os-release tells it: stable, nightly, ...")
    ] = ""


class GitBody(Body, frozen=True):
    """A command that runs in a clone of a repository."""

    url: Annotated[Text, Meta(description="The repository.")]
    command: Annotated[Text, Meta(description="What runs in its folder, by the shell.")]
    build_deps: Annotated[
        tuple[str, ...], Meta(description="Packages that are there meanwhile alone.")
    ] = ()
    deps: Annotated[tuple[str, ...], Meta(description="Packages that come and stay.")] = ()
    rev: Annotated[str, Meta(description="A commit, branch or tag; else the newest.")] = ""
    quiet: Annotated[bool, Meta(description="Don't show what it prints.")] = False


class ShellBody(Body, frozen=True):
    """A command."""

    command: Annotated[Text, Meta(description="What runs, by the shell.")]
    quiet: Annotated[bool, Meta(description="Don't show what it prints.")] = False


class SystemdBody(Body, frozen=True):
    """Units that are enabled, disabled or masked."""

    targets: Annotated[tuple[Text, ...], Meta(min_length=1, description="The units.")]
    enabled: Annotated[
        bool, Meta(description="They start with the system; without it they don't.")
    ] = False
    masked: Annotated[bool, Meta(description="They can't be started at all.")] = False
    global_: Annotated[bool, Meta(description="Units of every user, not of the system.")] = field(
        default=False, name="global"
    )


class CopyBody(Body, frozen=True):
    """A file or folder from the resources, into the image."""

    source: Annotated[Text, Meta(description="In the resources, relative to the document.")]
    destination: Annotated[
        Text, Meta(description="The file that it becomes; of a folder, the folder it fills.")
    ]
    replace: Annotated[bool, Meta(description="Files that are there go first.")] = False


class MoveBody(Body, frozen=True):
    """A file or folder of the image, moved."""

    source: Annotated[Text, Meta(description="What is moved.")]
    destination: Annotated[Text, Meta(description="Where it goes.")]
    create_link: Annotated[bool, Meta(description="Leave a link in its old place.")] = False
    replace: Annotated[bool, Meta(description="Files that are there go first.")] = False


class LinkBody(Body, frozen=True):
    """A symbolic link."""

    target: Annotated[Text, Meta(description="Where the link lies.")]
    to: Annotated[Text, Meta(description="What it leads to.")]
    replace: Annotated[bool, Meta(description="What lies there goes first.")] = False


class MergeBody(Body, frozen=True):
    """The content of a resource, added to a file of the image."""

    source: Annotated[Text, Meta(description="In the resources, relative to the document.")]
    destination: Annotated[Text, Meta(description="The file that it is added to.")]
    create_file_perm: Annotated[
        str, Meta(description="Mode of the file where it is made, as rw-r--r--.")
    ] = ""
    prepend: Annotated[bool, Meta(description="At the beginning, not at the end.")] = False


class MkdirBody(Body, frozen=True):
    """Folders."""

    targets: Annotated[tuple[Text, ...], Meta(min_length=1, description="Their paths.")]
    perm: Annotated[Text, Meta(description="Their mode, as rwxr-xr-x.")]


class RemoveBody(Body, frozen=True):
    """Files and folders of the image that go."""

    targets: Annotated[tuple[Text, ...], Meta(min_length=1, description="Their paths.")]
    inside: Annotated[bool, Meta(description="Only what is in them goes.")] = False


class ReplaceBody(Body, frozen=True):
    """Text in a file of the image, line by line."""

    target: Annotated[Text, Meta(description="The file.")]
    pattern: Annotated[Text, Meta(description="A regular expression.")]
    repl: Annotated[Text, Meta(description="What takes the place of what it matches.")]


class NetworkBody(Body, frozen=True):
    """The host's name."""

    hostname: Annotated[Text, Meta(description="The name.")]


class IncludeBody(Body, frozen=True):
    """Modules from other documents, in this place."""

    targets: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="Files or folders of the resources, /usr paths, URLs."),
    ]


BODIES: dict[str, type[Body]] = {
    "branding": BrandingBody,
    "copy": CopyBody,
    "git": GitBody,
    "include": IncludeBody,
    "kernel": KernelBody,
    "link": LinkBody,
    "merge": MergeBody,
    "mkdir": MkdirBody,
    "move": MoveBody,
    "network": NetworkBody,
    "packages": PackagesBody,
    "remove": RemoveBody,
    "replace": ReplaceBody,
    "repos": ReposBody,
    "shell": ShellBody,
    "systemd": SystemdBody,
}
"""The types of module, and their bodies."""


class Module(Struct, frozen=True, forbid_unknown_fields=True):
    """One part of the recipe: what is done, and on which condition."""

    type: Annotated[str, Meta(description="What it does: one of the types of module.")]
    body: Annotated[Body, Meta(description="Its settings.")]
    name: Annotated[str, Meta(description="What people call it.")] = ""
    id: Annotated[
        str,
        Meta(
            description="What expressions of later modules call it: letters, digits and _,"
            " a letter first."
        ),
    ] = ""
    env: Annotated[
        dict[str, str], Meta(description="Environment variables that hold for it alone.")
    ] = {}
    when: Annotated[
        str, Meta(description="An expression; where it is not true, the module is left out.")
    ] = field(default="", name="if")
    output: Annotated[
        dict[str, str],
        Meta(description="What its shell comes to, by name: nothing else may depend on that."),
    ] = {}


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """The document: a base image, and what is done to it, in order."""

    image: Annotated[str, Meta(description="The base image; the one of the host without it.")] = ""
    modules: Annotated[
        tuple[Module, ...], Meta(description="What is done to it, one after the other.")
    ] = ()
    env: Annotated[
        dict[str, str], Meta(description="Environment variables that hold for all modules.")
    ] = {}
