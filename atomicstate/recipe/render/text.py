"""What is in files of the image: the modules merge and replace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atomicstate.recipe.render import instructions
from atomicstate.recipe.render.context import Context
from atomicstate.recipe.render.paths import image_path, octal

if TYPE_CHECKING:
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.schema import MergeBody, ReplaceBody

_MERGE_BEGIN = """\
from=$1 to=$2 mode=$3
mkdir -p -- "$(dirname -- "$to")"
if [ ! -e "$to" ]; then
  : >"$to"
  chmod -- "$mode" "$to"
fi
"""
_APPEND = """\
cat -- "$from" >>"$to"
"""
_PREPEND = """\
whole=$(mktemp)
cat -- "$from" "$to" >"$whole"
cat -- "$whole" >"$to"
rm -f -- "$whole"
"""


def merge(step: Step, body: MergeBody, context: Context) -> instructions.Run:
    """The content of a resource or of a file of the image, added to a file byte by byte.

    A file that is there keeps mode and owner. Raises ValidationError.
    """
    target = image_path("destination", body.destination)
    mounts, seen = [], body.source
    if body.source.startswith("/"):
        seen = image_path("source", body.source)
    else:
        mount, seen = context.mounted(context.resource(step, body.source))
        mounts.append(mount)
    mode = octal(body.create_file_perm or "rw-r--r--")
    script = instructions.BEGIN + _MERGE_BEGIN + (_PREPEND if body.prepend else _APPEND)
    return instructions.run(script, [seen, target, mode], name="merge", mounts=mounts)


_PERL = """\
if ! command -v perl >/dev/null; then
  echo "replace: this image has no perl: install perl-base in a packages module before" >&2
  exit 1
fi
perl -e "$1" -- "${@:2}"
"""
# Go's regular expressions and its replacements, line by line, on UTF-8 where the file is that. The
# pattern comes in a variable: so perl refuses code in it.
_REPLACE = """\
use strict;
use warnings;
my ($path, $pattern, $replacement) = @ARGV;
open my $in, '<:raw', $path or die "replace: $path: $!\\n";
my $before = do { local $/; <$in> } // '';
my $text = $before;
if (utf8::decode($text)) {
  utf8::decode($_) for $pattern, $replacement;
}
my @parts;
while ($replacement =~ /\\G(?:\\$(?:(\\$)|(\\w+)|\\{(\\w+)\\})|([^\\$]+|\\$))/g) {
  my ($plain, $group) = ($1 // $4, $2 // $3);
  push @parts, [defined $plain ? 'plain' : 'name', $plain // $group];
  $parts[-1][0] = 'number' if defined $group && $group =~ /^(?:0|[1-9][0-9]{0,8})$/;
}
my $regex = qr/$pattern/a;
my @lines = $text eq '' ? ('') : split /\\n/, $text, -1;
for my $line (@lines) {
  my ($new, $end, $search) = ('', 0, 0);
  while ($search <= length $line) {
    pos($line) = $search;
    last if $line !~ /$regex/g;
    my ($start, $stop) = ($-[0], $+[0]);
    $new .= substr $line, $end, $start - $end;
    if ($stop > $end || $start == 0) {
      for (@parts) {
        my ($kind, $what) = @$_;
        if ($kind eq 'plain') {
          $new .= $what;
        } elsif ($kind eq 'name') {
          $new .= re::regname($what) // '';
        } elsif (defined $-[$what]) {
          $new .= substr $line, $-[$what], $+[$what] - $-[$what];
        }
      }
    }
    $end = $stop;
    $search = $search + 1 > $stop ? $search + 1 : $stop;
  }
  $line = $new . substr $line, $end;
}
my $after = join "\\n", @lines;
utf8::encode($after) if utf8::is_utf8($after);
exit if $after eq $before;
open my $out, '>:raw', $path or die "replace: $path: $!\\n";
print $out $after or die "replace: $path: $!\\n";
close $out or die "replace: $path: $!\\n";
"""


# What means something else to perl: text between \Q and \E, which it reads in its own source
# alone, and `{,2}`, which is no count to Go. The rest of what is escaped is passed over.
_GO = re.compile(r"\\Q(.*?)(?:\\E|\Z)|\\.|\{,", re.DOTALL)


def _as_perl(match: re.Match[str]) -> str:
    if match[1] is not None:
        return re.sub(r"(\W)", r"\\\1", match[1])
    return "\\{," if match[0] == "{," else match[0]


def replace(step: Step, body: ReplaceBody, context: Context) -> instructions.Run:
    """Text in a file, line by line: what a regular expression matches, by something else.

    In the replacement `$1` and `${name}` are what a group matched, `$$` is `$`. A file that is
    there keeps mode and owner. Raises ValidationError.
    """
    target = image_path("target", body.target)
    arguments = [_REPLACE, target, _GO.sub(_as_perl, body.pattern), body.repl]
    return instructions.run(instructions.BEGIN + _PERL, arguments, name="replace")
