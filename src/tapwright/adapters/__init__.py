"""The edge: the only files that know a protocol or a library of the outside world."""
