"""The body of each kind of event.

The tag is the wire name, and stays for ever; a field's place in the array is its number, and
stays for ever too: fields are added at the end, with a default. Fields that folds read come first.
Three classes: *asked* (a person wants something), *intent* (something is about to be done) and
*fact* (something was found to be so).
"""

# Annotations are not postponed: msgspec reads them when a decoder is made, and of strings that
# takes thrice the time.

from msgspec import Struct

from atomicstate.events.plan import Plan


class Body(Struct, frozen=True, array_like=True, gc=False):
    """What all bodies have in common."""


# -- asked ---------------------------------------------------------------------------------


class PackageAdded(Body, frozen=True, array_like=True, gc=False, tag="package.added"):
    """`names` shall be there. `live`: they were put into the running system first.

    A plan of more than 700 bytes is the blob `plan_blob` instead. `in_base` are those of the
    names that the image holds without being asked for: the recipe need not install these.
    """

    names: tuple[str, ...]
    live: bool
    in_base: tuple[str, ...] = ()
    plan: Plan | None = None
    plan_blob: str = ""


class PackageRemoved(Body, frozen=True, array_like=True, gc=False, tag="package.removed"):
    """`names` shall not be there. Fields as in `package.added`.

    `in_base` are those of the names that the image holds without being asked for: for these
    alone the recipe says `remove`.
    """

    names: tuple[str, ...]
    live: bool
    in_base: tuple[str, ...] = ()
    plan: Plan | None = None
    plan_blob: str = ""


class BaseSet(Body, frozen=True, array_like=True, gc=False, tag="base.set"):
    """The image in FROM shall be `reference`, which names the image `image_id` now.

    `created` is when that image was made: UTC in nanoseconds since 1970, 0 where it is not known.
    """

    reference: str
    image_id: str
    architecture: str
    created: int = 0


class BaseUpdated(Body, frozen=True, array_like=True, gc=False, tag="base.updated"):
    """The base's reference names the image `image_id` now: that shall be in FROM.

    `created` as in `base.set`.
    """

    reference: str
    image_id: str
    architecture: str
    created: int = 0


class DeploymentAdopted(Body, frozen=True, array_like=True, gc=False, tag="deployment.adopted"):
    """A deployment that this log did not make counts as ours: its image is the base from now on.

    What it holds is this action alone; whatever else is wanted is pending on top of it.
    `created` as in `base.set`.
    """

    checksum: str
    reference: str
    image_id: str
    architecture: str
    created: int = 0


class WantedChanged(Body, frozen=True, array_like=True, gc=False, tag="wanted.changed"):
    """The actions `void` are not wanted any more, the actions `revive` are again, and why."""

    void: tuple[int, ...] = ()
    revive: tuple[int, ...] = ()
    why: str = ""


class TagSet(Body, frozen=True, array_like=True, gc=False, tag="tag.set"):
    """The event `point` bears the name `name`; 0 takes the name away."""

    name: str
    point: int


class NoteAdded(Body, frozen=True, array_like=True, gc=False, tag="note.added"):
    """A remark about the event `point`: why it was done, say."""

    point: int
    text: str


class ModuleAdded(Body, frozen=True, array_like=True, gc=False, tag="module.added"):
    """The recipe shall have this module: `module` is its blob, canonical JSON.

    It stands before the module in the slot `before`, at the end where that is 0. A slot is the
    number of the action that made it; the modules of the recipe found at `init` have the slots
    -1, -2, ... `what` says in a line what it does.
    """

    module: str
    module_type: str
    before: int = 0
    what: str = ""


class ModuleChanged(Body, frozen=True, array_like=True, gc=False, tag="module.changed"):
    """The module in `slot` shall be this one. Fields as in `module.added`."""

    module: str
    module_type: str
    slot: int
    what: str = ""


class ModuleRemoved(Body, frozen=True, array_like=True, gc=False, tag="module.removed"):
    """The recipe shall not have the module in `slot`, which was of the type `module_type`."""

    slot: int
    module_type: str = ""
    what: str = ""


class EnvSet(Body, frozen=True, array_like=True, gc=False, tag="env.set"):
    """The recipe's variable `name` shall be `value`.

    `given`: it is no part of the document, but a value for what the document reads as Env.
    """

    name: str
    value: str
    given: bool = False


class EnvRemoved(Body, frozen=True, array_like=True, gc=False, tag="env.removed"):
    """The recipe's variable `name` shall not be there; `given` as in `env.set`."""

    name: str
    given: bool = False


class ResourceSet(Body, frozen=True, array_like=True, gc=False, tag="resource.set"):
    """What modules name `name` shall be this: `manifest` is the blob that lists its files.

    `files` counts them.
    """

    name: str
    manifest: str
    files: int = 0


class ResourceRemoved(Body, frozen=True, array_like=True, gc=False, tag="resource.removed"):
    """The recipe shall not have the resource `name`."""

    name: str


# -- intent --------------------------------------------------------------------------------


class TransactionBegun(Body, frozen=True, array_like=True, gc=False, tag="transaction.begun"):
    """One run of the machine begins, with all that it is to do.

    `mode` says what it does: live, overlay, restore, apply, deploy, rollback, unstage, prune,
    withdraw or undo.
    An apply has `add` and `drop` (the selection, as sequence numbers,
    against the deployment of the transaction `parent`, empty for the base as it was at `init`,
    a checksum for one that was adopted),
    and all that the render read: base reference and id, architecture, dialect, renderer version;
    `recipe` and `containerfile` are digests of blobs, `resources` maps names to blobs of manifests,
    `files` paths of generated files to blobs, `given` are values of Env beside the recipe's.
    `promoted` is the blob of what image.yml becomes in the end, empty where that is `recipe`;
    `beside` maps the names of the resources that are put beside it to blobs of manifests.
    `pinned` tells that packages have the versions of the plans that the actions were recorded with.
    `staged_before` is the checksum that was
    staged when it began, `boots_next` of what would boot next. A live one has `action` (the wire
    name), `names`, `in_base` and the plan. `user_recipe` is the digest that image.yml had, empty
    where a person wrote it: only what has that digest is replaced.

    A deploy makes the image of the transaction `target` boot next, with the fields of its apply;
    a rollback does that with the deployment of the checksum `target`, and an unstage drops it:
    both hold back the actions `held`. A restore carries out its plan again, for the actions
    `add`. A prune removes `objects` ("image <id>", "deployment <checksum>"), a withdraw the
    paths in /etc that live transactions left and nobody changed. An undo takes its plan back,
    and the actions `drop` are not wanted any more then, those of `add` are again, for the reason
    `target`.
    """

    mode: str
    add: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()
    parent: str = ""
    base: str = ""
    base_id: str = ""
    architecture: str = ""
    dialect: str = ""
    renderer: int = 0
    recipe: str = ""
    containerfile: str = ""
    staged_before: str = ""
    boots_next: str = ""
    action: str = ""
    names: tuple[str, ...] = ()
    plan: Plan | None = None
    plan_blob: str = ""
    user_recipe: str = ""
    in_base: tuple[str, ...] = ()
    target: str = ""
    held: tuple[int, ...] = ()
    objects: tuple[str, ...] = ()
    resources: dict[str, str] = {}
    files: dict[str, str] = {}
    given: dict[str, str] = {}
    promoted: str = ""
    beside: dict[str, str] = {}
    pinned: bool = False


class StepStarted(Body, frozen=True, array_like=True, gc=False, tag="step.started"):
    """`step` is about to be done.

    overlay, live, config, containerfile, build, unqueue, switch, promote, rollback, unstage, prune,
    withdraw.
    """

    step: str


class StepUndoing(Body, frozen=True, array_like=True, gc=False, tag="step.undoing"):
    """The effect of `step` is about to be taken back, since `reason`."""

    step: str
    reason: str = ""


# -- facts ---------------------------------------------------------------------------------


class SystemInitialized(Body, frozen=True, array_like=True, gc=False, tag="system.initialized"):
    """The host was adopted: the first event. `recipe` is the digest of the recipe found.

    `created` is when the base image was made, as in `base.set`. `resources` maps the names of the
    resources found to the blobs of their manifests.
    """

    driver: str
    base: str
    base_id: str
    architecture: str
    dialect: str
    recipe: str
    booted: str
    hostname: str = ""
    created: int = 0
    resources: dict[str, str] = {}


class StepDone(Body, frozen=True, array_like=True, gc=False, tag="step.done"):
    """The host was asked, and `step` is done. `evidence` is what it answered."""

    step: str
    evidence: dict[str, str] = {}
    output: str = ""


class StepFailed(Body, frozen=True, array_like=True, gc=False, tag="step.failed"):
    """`step` failed. `code` is the error's, `output` the blob of the tool's output."""

    step: str
    code: str
    reason: str
    output: str = ""


class StepUndone(Body, frozen=True, array_like=True, gc=False, tag="step.undone"):
    """The host was asked, and nothing of `step` is left, except for what `residue` names."""

    step: str
    evidence: dict[str, str] = {}
    residue: tuple[str, ...] = ()


class StepSkipped(Body, frozen=True, array_like=True, gc=False, tag="step.skipped"):
    """`step` had nothing to do, or was not wanted."""

    step: str
    reason: str


class TransactionStaged(Body, frozen=True, array_like=True, gc=False, tag="transaction.staged"):
    """Its deployment is what boots next. Checksums are of deployments, `image_id` of the image."""

    checksum: str
    image_id: str
    replaced: str = ""


class TransactionRolledBack(
    Body, frozen=True, array_like=True, gc=False, tag="transaction.rolled_back"
):
    """It was given up, and what could be taken back was: what `prune` removed stays removed.

    An apply's actions are pending again; a live one's never was.
    """

    reason: str
    code: str = ""


class RecipeTaken(Body, frozen=True, array_like=True, gc=False, tag="recipe.taken"):
    """A document was taken in: `document` is the blob of its text, whose layout is kept.

    `placed`: it is image.yml, and `resources` (names, and blobs of manifests) is what lies beside
    it: what differs from these is an edit. `source` is the repository that it comes from and
    `commit` which state of that, empty for one of no repository.
    """

    document: str
    placed: bool = False
    resources: dict[str, str] = {}
    source: str = ""
    commit: str = ""


class HostObserved(Body, frozen=True, array_like=True, gc=False, tag="host.observed"):
    """The deployments, by checksum, differ from what was last known; `*_txn` made them.

    An empty checksum: there is none. `overlay`: one lies on /usr. `queued`: the rollback
    deployment boots next; `locked`: what is staged does not.
    """

    booted: str
    booted_txn: str
    staged: str
    staged_txn: str
    rollback: str
    rollback_txn: str
    overlay: bool
    queued: bool = False
    locked: bool = False


class HostBooted(Body, frozen=True, array_like=True, gc=False, tag="host.booted"):
    """A new boot instance came up with the deployment `booted`; the overlay before it is gone.

    The fields are as in `host.observed`. `failure`: why what was staged before did not become a
    deployment, where OSTree said so.
    """

    booted: str
    booted_txn: str
    staged: str
    staged_txn: str
    rollback: str
    rollback_txn: str
    queued: bool = False
    locked: bool = False
    failure: str = ""


class WantedHeld(Body, frozen=True, array_like=True, gc=False, tag="wanted.held"):
    """What a rollback took away: the actions `seqs`, and none else, are held back.

    They stay wanted, and a plain apply leaves them out until one that names them.
    """

    seqs: tuple[int, ...]


class LiveBroken(Body, frozen=True, array_like=True, gc=False, tag="live.broken"):
    """A live change could be neither finished nor taken back: /usr is as `reason` says.

    It lasts until the next boot, which takes the overlay away.
    """

    reason: str


class ResidueFound(Body, frozen=True, array_like=True, gc=False, tag="residue.found"):
    """What a live transaction left in /etc and /var, which no overlay takes away.

    `files` counts them; the blob `found` is JSON: `added` and `changed` map paths to signatures
    (mode, owner and digest), `users` and `groups` are names. `added` came while it ran; `changed`
    was there before, or came while it was cut short, and may be anybody's.
    """

    found: str
    files: int = 0
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


AnyBody = (
    PackageAdded
    | PackageRemoved
    | BaseSet
    | BaseUpdated
    | DeploymentAdopted
    | WantedChanged
    | TagSet
    | NoteAdded
    | ModuleAdded
    | ModuleChanged
    | ModuleRemoved
    | EnvSet
    | EnvRemoved
    | ResourceSet
    | ResourceRemoved
    | TransactionBegun
    | StepStarted
    | StepUndoing
    | SystemInitialized
    | StepDone
    | StepFailed
    | StepUndone
    | StepSkipped
    | TransactionStaged
    | TransactionRolledBack
    | RecipeTaken
    | HostObserved
    | HostBooted
    | WantedHeld
    | LiveBroken
    | ResidueFound
)

ALL: tuple[type[Body], ...] = AnyBody.__args__

ACTIONS: frozenset[str] = frozenset(
    {
        "package.added",
        "package.removed",
        "base.set",
        "base.updated",
        "deployment.adopted",
        "wanted.changed",
        "module.added",
        "module.changed",
        "module.removed",
        "env.set",
        "env.removed",
        "resource.set",
        "resource.removed",
    }
)
"""The wire names of the kinds by which somebody asks for a change of the image."""


def kind_of(body: Body | type[Body]) -> str:
    """The wire name of a body."""
    return str(body.__struct_config__.tag)
