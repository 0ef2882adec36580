"""libapt through python-apt: what a change of packages means, and carrying it out in a child."""
