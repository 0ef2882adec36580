"""The recipe (image.yml): schema, reading, writing, rendering."""
