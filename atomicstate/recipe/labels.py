"""What a Containerfile itself says of what is built of it."""

LABEL_RENDERER = "org.atomicstate.renderer"
"""A label of each layer, those of the build cache among them."""

LABEL_WHOLE = "org.atomicstate.whole"
"""The label that the last instruction sets: an image without it was made of a part of the file.

podman ends reading at a line that is too long, and calls what it has built until then a success.
"""
