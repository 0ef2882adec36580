"""What a forge does with an exported recipe: build the image, look it over, push it.

Nothing in these files is a secret: a forge gives its own token to its own runs.
"""

from __future__ import annotations

_LINT = (
    "if command -v bootc >/dev/null; then bootc container lint;"
    " else echo 'no bootc in this image: nothing to lint'; fi"
)

_GITHUB = """\
# Written by `atomicstate config export`: builds the image, looks it over, pushes it.
name: image

on:
  push:
  pull_request:
  workflow_dispatch:

permissions:
  contents: read
  packages: write

jobs:
  image:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4

      - name: Name the image
        run: echo "IMAGE=ghcr.io/${GITHUB_REPOSITORY,,}" >>"$GITHUB_ENV"

      - name: Build
        run: sudo podman build --tag "$IMAGE:$GITHUB_SHA" .

      - name: Lint
        run: >-
          sudo podman run --rm --entrypoint /bin/sh "$IMAGE:$GITHUB_SHA" -c
          "LINT"

      - name: Push
        if: github.ref_name == github.event.repository.default_branch
        env:
          TOKEN: ${{ github.token }}
        run: |
          printf '%s' "$TOKEN" |
            sudo podman login --username "$GITHUB_ACTOR" --password-stdin ghcr.io
          sudo podman push "$IMAGE:$GITHUB_SHA"
          sudo podman push "$IMAGE:$GITHUB_SHA" "$IMAGE:latest"
"""

_GITLAB = """\
# Written by `atomicstate config export`: builds the image, looks it over, pushes it.
image: quay.io/podman/stable

variables:
  IMAGE: $CI_REGISTRY_IMAGE:$CI_COMMIT_SHA

image:build:
  script:
    - podman build --tag "$IMAGE" .
    - >-
      podman run --rm --entrypoint /bin/sh "$IMAGE" -c
      "LINT"
    - |
      if [ "$CI_COMMIT_BRANCH" = "$CI_DEFAULT_BRANCH" ]; then
        printf '%s' "$CI_REGISTRY_PASSWORD" |
          podman login --username "$CI_REGISTRY_USER" --password-stdin "$CI_REGISTRY"
        podman push "$IMAGE"
        podman push "$IMAGE" "$CI_REGISTRY_IMAGE:latest"
      fi
"""


def files() -> dict[str, bytes]:
    """The files for the forges, by path in the exported folder."""
    return {
        ".github/workflows/build.yml": _GITHUB.replace("LINT", _LINT).encode(),
        ".gitlab-ci.yml": _GITLAB.replace("LINT", _LINT).encode(),
    }
