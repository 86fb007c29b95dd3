"""Finding: joins what providers saw, resolves names, follows the path to the wire.  Pure."""
