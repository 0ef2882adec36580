"""A real OSTree host in a directory: to try everything on, without risk."""
