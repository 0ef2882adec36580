"""Results as text for people: pure functions from values and a Look to lines."""
