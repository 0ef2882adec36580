"""Pure folds: events in, a view out."""
