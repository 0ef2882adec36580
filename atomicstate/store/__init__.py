"""The log on disk: append, read, verify, export and import; blobs; snapshots."""
