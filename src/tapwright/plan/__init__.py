"""Planning: where a VM's packets can be seen, which place is best and why.  Pure."""
