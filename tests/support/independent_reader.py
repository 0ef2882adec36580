"""A reader of the log that shares nothing with the program.

Run it as `python -I independent_reader.py STATE DOCUMENT`.

LMDB, MessagePack, BLAKE2b, and what docs/on-disk-format.md (DOCUMENT) says. Fields' numbers and
names are taken from its tables. Prints each event as a line of JSON, as `log -f jsonl` does.
"""

import json
import re
import sys
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import lmdb
import msgpack

BLOB_FIELDS = ("plan_blob", "recipe", "containerfile", "output", "found", "module", "manifest")
BLOB_FIELDS += ("promoted", "document")
MAP_FIELDS = ("resources", "files", "beside")
MANIFEST_FIELDS = ("manifest", "resources")


def tables(document):
    """{heading: [(name, type, default)]} of the tables; each further one below it as a list too."""
    found, heading = {}, ""
    for line in document.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line == "A change:":
            heading = "change"
        elif row := re.match(r"\| (\d+) \| `?(\w*)`? ?\| (.*?) \| *(`.*?`)? *\|", line):
            number, name, kind, default = row.groups()
            fields = found.setdefault(heading, [])
            assert int(number) == len(fields), line
            fields.append((name, kind, json.loads(default.strip("`")) if default else None))
    return found


def digest(content):
    return blake2b(content, digest_size=32)


class Reader:
    def __init__(self, state, document):
        self.blobs = state / "blobs"
        self.tables = tables(document)
        self.references = set()
        self.manifests = set()
        self.environment = lmdb.open(str(state / "log"), readonly=True, create=False)

    def events(self):
        with self.environment.begin() as transaction:
            rows = list(transaction.cursor())
        assert [key for key, _value in rows] == [n.to_bytes(8, "big") for n in range(len(rows))]
        header = self.header(rows[0][1])
        previous = bytes(32)
        for number, (_key, record) in enumerate(rows[1:], 1):
            body, stored = record[:-32], record[-32:]
            assert digest(previous + body).digest() == stored, number
            previous = stored
            event = self.named("The envelope", msgpack.unpackb(body))
            assert (event["seq"], event["log_id"]) == (number, header["log_id"])
            assert event["body"][0] in header["kinds"], number
            yield self.shown(event, stored)

    def header(self, record):
        body, stored = record[:-32], record[-32:]
        assert digest(bytes(32) + body).digest() == stored
        header = self.named("The header", msgpack.unpackb(body))
        assert (header["magic"], header["format"]) == ("atomicstate-log", 1)
        return header

    def named(self, heading, values):
        """An array as a mapping by field name; a body's item 0, which has no name, left out."""
        fields = self.tables[heading]
        mapping = {}
        for number, (name, kind, default) in enumerate(fields):
            if name:
                value = values[number] if number < len(values) else default
                mapping[name] = self.value(kind, value)
        return mapping

    def value(self, kind, value):
        if value is None:
            return None
        if kind.startswith("[plan]"):
            return self.named("The plan", value)
        if kind.startswith("array of [change]"):
            return [self.named("change", item) for item in value]
        if kind.startswith("[actor]"):
            return self.named("Actor", value)
        if kind.startswith("[boot instance]"):
            return self.named("Boot instance", value)
        return value

    def shown(self, event, stored):
        seconds, fraction = divmod(event["time"], 10**9)
        kind = event["body"][0]
        data = self.named(kind, event["body"])
        for name in (*BLOB_FIELDS, *MAP_FIELDS):
            value = data.get(name)
            # A count is named `files` too.
            named = value.values() if isinstance(value, dict) else [value]
            digests = {digest for digest in named if isinstance(digest, str) and digest}
            self.references |= digests
            self.manifests |= digests if name in MANIFEST_FIELDS else set()
        return {
            "seq": event["seq"],
            "time": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z",
            "txn": event["transaction"] or None,
            "actor": event["actor"],
            "kind": kind,
            "data": data,
            "hash": stored.hex(),
            "boottime": event["boottime"],
            "boot": event["boot"],
            "cause": event["cause"] or None,
            "request": event["request"] or None,
            "log_id": event["log_id"].hex(),
        }

    def listed(self):
        """The blobs that manifests list."""
        for name in self.manifests:
            path = self.blobs / name[:2] / name
            if path.exists():
                for _path, mode, file, link in json.loads(path.read_bytes()):
                    assert mode < 1 << 12
                    assert not (file and link)
                    if file:
                        yield file

    def check_blobs(self):
        present = [path for path in self.blobs.rglob("*") if path.is_file()]
        for path in present:
            assert path.parent.name == path.name[:2]
            if path.suffix != ".redacted":
                assert digest(path.read_bytes()).hexdigest() == path.name
        names = {path.name.removesuffix(".redacted") for path in present}
        self.references |= set(self.listed())
        assert self.references <= names, self.references - names


def main():
    reader = Reader(Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8"))
    for event in reader.events():
        print(json.dumps(event))
    reader.check_blobs()
    assert not [name for name in sys.modules if name.split(".")[0] in ("atomicstate", "msgspec")]


if __name__ == "__main__":
    main()
