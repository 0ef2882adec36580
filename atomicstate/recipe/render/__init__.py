"""The steps of a recipe as instructions of a Containerfile, a module for each kind of step."""
