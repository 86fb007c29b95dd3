"""Changes of the world that cannot be forgotten: journal, lease, sweep."""
