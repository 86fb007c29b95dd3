"""One request from names to a file on this host."""
