"""What looks like a secret is refused before anything is recorded."""

from __future__ import annotations

import time

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.schema import (
    GitBody,
    IncludeBody,
    Module,
    PackagesBody,
    ReposBody,
    ShellBody,
)
from atomicstate.recipe.secrets import refuse_secrets, secrets_in

# In two parts each, so that nothing here looks like one to who reads the source.
PRIVATE_KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nAAAA\n"
TOKENS = (
    "ghp_" + "a" * 36,
    "github_pat_" + "A1" * 20,
    "glpat-" + "x" * 20,
    "AKIA" + "A" * 16,
    "xoxb-" + "1" * 12,
    "AIza" + "b" * 35,
    "eyJ" + "a" * 20 + ".eyJ" + "b" * 30 + "." + "c" * 40,
)


def shell(command: str, **parts) -> Module:
    return Module("shell", ShellBody(command), **parts)


def git(url: str) -> Module:
    return Module("git", GitBody(url, "make"))


def refused(module: Module | None = None, env: dict[str, str] | None = None) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        refuse_secrets([module] if module else [], env or {}, False)
    return caught.value


@pytest.mark.parametrize(
    "module",
    [
        git("https://user:hunter2@example.org/a.git"),
        git("https://:hunter2@example.org/a.git"),
        shell("curl ftp://me:hunter2@example.org/x"),
        shell(f"cat >key <<END\n{PRIVATE_KEY}END"),
        *(shell(f"curl -H 'x: {token}' https://example.org") for token in TOKENS),
        shell("curl -H 'Authorization: Bearer abcdefghijkl' https://example.org"),
        shell("API_TOKEN=abc123 ./install"),
        shell('export DB_PASSWORD="hunter2"'),
        shell("./login --password hunter2"),
        shell("./login --token=hunter2"),
        shell("true", env={"GITHUB_TOKEN": "abc"}),
        shell("true", env={"password": "abc"}),
        shell("true", env={"ADDRESS": "https://me:hunter2@example.org"}),
        Module("repos", ReposBody(custom=("deb https://me:hunter2@example.org stable main",))),
        Module("include", IncludeBody(("https://me:hunter2@example.org/a.yml",))),
        Module("packages", PackagesBody(options={"Acquire::http::Proxy": "http://a:b@proxy"})),
    ],
    ids=lambda module: str(module.body)[:50],
)
def test_what_looks_like_a_secret_is_refused(module):
    assert "nothing was recorded" in refused(module).message


def test_the_error_says_where_and_what_to_do():
    module = shell("API_TOKEN=abc123 ./install", name="Install it")
    error = refused(module)
    assert error.message == (
        "body.command of the shell module 'Install it' looks like a secret that is given to a"
        " command: nothing was recorded"
    )
    assert "--allow-secret" in error.hint


def test_the_error_does_not_tell_the_secret():
    error = refused(git("https://user:hunter2@example.org/a.git"))
    assert "hunter2" not in error.message + error.hint


def test_a_variable_of_the_recipe_is_looked_at_too():
    assert refused(env={"REGISTRY_TOKEN": "abc"}).message.startswith("env.REGISTRY_TOKEN ")


@pytest.mark.parametrize(
    "module",
    [
        git("https://example.org/a.git"),
        git("ssh://git@example.org/a.git"),
        git("git@example.org:group/a.git"),
        git("https://user:${{ Env.PASSWORD }}@example.org/a.git"),
        shell("curl https://user:$PASSWORD@example.org"),
        shell('API_TOKEN="$(cat /run/secrets/token)" ./install'),
        shell("API_TOKEN=$TOKEN ./install"),
        shell("TOKEN= ./install"),
        shell("./login --password-stdin </run/secrets/password"),
        shell("./login --token /run/secrets/token"),
        shell("passwd --delete root"),
        # What everybody may know is how an image for all to try is made.
        shell("echo root:public | chpasswd"),
        shell("grep -q 'PasswordAuthentication no' /etc/ssh/sshd_config"),
        shell("openssl x509 <<END\n-----BEGIN CERTIFICATE-----\nEND"),
        shell("true", env={"API_TOKEN": "${{ Env.API_TOKEN }}"}),
        shell("true", env={"TOKEN_FILE": "token.txt"}),
        shell("true", env={"USE_PASSWORD": "true"}),
        shell("true", env={"PASSWORD": "/run/secrets/password"}),
        Module("repos", ReposBody(custom=("deb http://user@example.org stable main",))),
    ],
    ids=lambda module: str(module.body)[:50],
)
def test_what_only_names_one_is_taken(module):
    refuse_secrets([module], {}, False)


def test_whoever_agrees_may_record_it():
    refuse_secrets([git("https://user:hunter2@example.org/a.git")], {"TOKEN": "abc"}, True)


@pytest.mark.parametrize("piece", ["a", "a:", "eyJ", "://", "A_", "TOKEN=", "x:y | ", "--token "])
def test_a_long_text_is_looked_through_in_a_moment(piece):
    begin = time.monotonic()
    list(secrets_in(shell(piece * 200_000)))
    assert time.monotonic() - begin < 5
