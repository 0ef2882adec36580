"""Write the tables of docs/recipe.md from the Structs: `python -m tools.recipe_reference`.

Only what stands between the markers is replaced. With `--check`, write nothing and exit 1 where
the file is not what would be written.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from atomicstate.recipe.expressions.functions import FUNCTIONS
from atomicstate.recipe.lint import RULES as RULES_OF_LINT
from atomicstate.recipe.schema import BODIES, Body, Module, Recipe
from tools.generated import filled, settle

TARGET = Path(__file__).resolve().parent.parent / "docs/recipe.md"

EXAMPLES: Final[dict[str, str]] = {
    "branding": """\
- type: branding
  body:
    release-overrides:
      VARIANT: Workstation
      VARIANT_ID: workstation
""",
    "copy": """\
- name: Our own files
  type: copy
  body:
    source: root        # the folder resources/root
    destination: /
    replace: true
""",
    "git": """\
- type: git
  body:
    url: https://git.example.org/theme.git
    rev: v3.1.0
    deps: [gtk2-engines-murrine]
    build-deps: [make, sassc]
    command: |
      make install PREFIX=/usr
""",
    "include": """\
- type: include
  body:
    targets:
      - packages.yml    # resources/packages.yml
      - services        # every document in resources/services, by name
""",
    "kernel": """\
- type: kernel
  body:
    kernel-info:
      flavour: amd64
    initrd:
      method: dracut
""",
    "link": """\
- type: link
  body:
    target: /usr/bin/vi
    to: /usr/bin/vim
""",
    "merge": """\
- type: merge
  body:
    source: bashrc      # resources/bashrc
    destination: /usr/share/base-files/dot.bashrc
    create-file-perm: rw-r--r--
""",
    "mkdir": """\
- type: mkdir
  body:
    targets:
      - /usr/share/backgrounds/our-own
    perm: rwxr-xr-x
""",
    "move": """\
- type: move
  body:
    source: /opt/vendor
    destination: /usr/lib/vendor
    create-link: true
""",
    "network": """\
- type: network
  body:
    hostname: kiosk
""",
    "packages": """\
- name: Tools
  type: packages
  body:
    install:
      - jq
      - git
    remove:
      - nano
    depends: true
""",
    "remove": """\
- type: remove
  body:
    targets:
      - /usr/share/doc
    inside: true
""",
    "replace": """\
- type: replace
  body:
    target: /usr/lib/systemd/journald.conf.d/size.conf
    pattern: ^SystemMaxUse=.*
    repl: SystemMaxUse=200M
""",
    "repos": """\
- type: repos
  body:
    branch: bookworm
    date: "20260102"
""",
    "shell": """\
- name: Icons
  type: shell
  if: Env.VARIANT != "server"
  body:
    command: |
      gtk-update-icon-cache /usr/share/icons/hicolor
    quiet: true
""",
    "systemd": """\
- type: systemd
  body:
    targets:
      - ssh.service
      - fstrim.timer
    enabled: true
""",
}
"""A module of each type, as it stands in a document."""

RULES: Final[dict[str, tuple[str, ...]]] = {
    "branding": ("`subpackages` needs a `name`.", "A field of os-release is one line."),
    "copy": (
        "A folder's content goes into the folder `destination`; a file becomes the file"
        " `destination`. Modes are kept, the owner is root.",
        "Without `replace` a folder does not make way for a file.",
    ),
    "git": (
        "The clone is gone afterwards: what shall stay is put into its place by the command.",
        "Without a `rev`, or with a branch, the newest commit is taken: an image that is built"
        " again may be another one.",
    ),
    "include": (
        "The documents stand in the module's place. A folder stands for the `.yml`, `.yaml` and"
        " `.json` files in it, by name.",
        "A relative path is looked up beside the document that names it, an absolute one in /usr"
        " of the base image.",
        "A document that includes itself, also by way of others, is refused.",
    ),
    "kernel": (
        "With no `method`, as with `auto`, the initial RAM disk is made by dracut or mkinitramfs,"
        " whichever is there. `make-initrd` is read, and refused where an image is built: it makes"
        " none for one.",
    ),
    "link": (
        "What lies at `target` is an error without `replace`.",
        "An absolute `to` is written as a relative link.",
    ),
    "merge": (
        "A `source` that begins with `/` is a file of the image.",
        "The mode is for a file that is made: one that is there keeps its own.",
    ),
    "mkdir": (
        "Folders on the way are made with the same mode; a folder that is there stays as it is.",
    ),
    "move": (),
    "network": ("/etc/hostname and /etc/hosts are written.",),
    "packages": (
        "What comes and what goes is one transaction of apt: one package may take the place of"
        " another.",
        "No package can be in both lists.",
        "The lists of the repositories are fetched by every such module, whatever `update` says.",
    ),
    "remove": ("What is not there is no error.",),
    "replace": (
        "The regular expression is one of Go's (RE2), held against each line; in `repl`, `$1` is"
        " what its first group matched.",
    ),
    "repos": (
        "`date` needs a `branch`; `clean` and `clean-temporary` exclude each other.",
        "With a `date` the same packages come whenever the image is built.",
    ),
    "shell": (
        "It is bash that runs it, with `set -e`, as root, in a folder that is gone afterwards.",
        "Nothing of the system runs while an image is built: no service can be started, no bus"
        " asked. `config lint` knows the usual ways to forget it.",
        "A later module is built after it and stays as it is only while this one does: keep what"
        " often changes below.",
    ),
    "systemd": (
        "With neither `enabled` nor `masked` the units are disabled; both together are refused.",
        "The unit must be there: enable it after the package that brings it.",
    ),
}
"""What the fields' types do not say, as sentences."""

_FUNCTIONS: Final[dict[str, tuple[str, str]]] = {
    "len": ("len(x)", "characters of a text, items of a list"),
    "upper": ("upper(text)", "in capitals"),
    "lower": ("lower(text)", "in small letters"),
    "trim": ("trim(text, [chars])", "without blanks, or these characters, at both ends"),
    "trimPrefix": ("trimPrefix(text, [start])", "without this start, a blank if none is given"),
    "trimSuffix": ("trimSuffix(text, [end])", "without this end, a blank if none is given"),
    "split": ("split(text, by, [most])", "the parts, as a list of at most so many"),
    "join": ("join(list, [glue])", "the texts in one"),
    "replace": ("replace(text, old, new, [most])", "each `old` become `new`, or the first ones"),
    "hasPrefix": ("hasPrefix(text, start)", "whether it starts so"),
    "hasSuffix": ("hasSuffix(text, end)", "whether it ends so"),
    "indexOf": ("indexOf(text, part)", "where the part begins, in bytes from 0; -1: nowhere"),
    "repeat": ("repeat(text, times)", "the text, so often"),
    "string": ("string(x)", "as text"),
    "int": ("int(x)", "as a whole number"),
    "float": ("float(x)", "as a number"),
}


def fields_table(struct: type[msgspec.Struct], before: str = "") -> list[str]:
    """The rows of a Struct's fields; what is in a Struct of its own follows it."""
    rows = []
    for field in fields(struct):
        kind, description = _parts(field)
        key = f"{before}{field.encode_name}"
        rows.append(f"| `{key}` | {_type(kind)} | {_default(field, kind)} | {description} |")
        if _is_struct(kind) and kind is not Body:
            rows += fields_table(kind, f"{key}.")
    return rows


def _parts(field: FieldInfo) -> tuple[Any, str]:
    """A field's type without its annotations, and its description."""
    kind, description = field.type, ""
    while get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        description = description or next((m.description for m in metas if m.description), "")
    return kind, description


def _is_struct(kind: Any) -> bool:  # noqa: ANN401 - a type
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _type(kind: Any) -> str:  # noqa: ANN401 - a type
    """A type in words."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind in (str, bool):
        return "text" if kind is str else "yes or no"
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind) if choice)
    if get_origin(kind) is dict:
        return "names and texts"
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return "list of modules" if inner is Module else "list of texts"
    if _is_struct(kind):
        return "settings"
    raise TypeError(f"no words for the type {kind}: add them to {Path(__file__).name}")


def _default(field: FieldInfo, kind: Any) -> str:  # noqa: ANN401 - a type
    if field.required:
        return "**needed**"
    return "no" if kind is bool else ""


def _table(struct: type[msgspec.Struct]) -> str:
    head = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *fields_table(struct)])


def _module(kind: str, body: type[Body]) -> str:
    rules = "".join(f"\n- {rule}" for rule in RULES[kind])
    parts = [f"### {kind}", inspect.getdoc(body) or "", _table(body)]
    parts += [rules.strip()] if rules else []
    parts.append(f"```yaml\n{EXAMPLES[kind]}```")
    return "\n\n".join(parts)


def _functions() -> str:
    lines = ["| function | what it gives |", "| --- | --- |"]
    for name in FUNCTIONS:
        call, meaning = _FUNCTIONS[name]
        lines.append(f"| `{call}` | {meaning} |")
    return "\n".join(lines)


def _rules() -> str:
    return "\n".join(
        f"- **{rule.name}** ({rule.severity}): {rule.about}. Why: {rule.why}. Instead:"
        f" {rule.instead}."
        for rule in RULES_OF_LINT
    )


def sections() -> dict[str, str]:
    """What stands between the markers, by the markers' name."""
    kinds = sorted(BODIES)
    return {
        "document": _table(Recipe),
        "module": _table(Module),
        "contents": ", ".join(f"[{kind}](#{kind})" for kind in kinds) + ".",
        "modules": "\n\n".join(_module(kind, BODIES[kind]) for kind in kinds),
        "functions": _functions(),
        "rules": _rules(),
    }


def main() -> None:
    """Write the file, or check it."""
    settle(TARGET, filled(TARGET.read_text(encoding="utf-8"), sections()))


if __name__ == "__main__":
    main()
