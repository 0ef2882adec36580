"""The recipe: what an image is made of, as a document (image.yml) and as a Containerfile."""
