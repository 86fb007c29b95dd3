"""A virtual data centre on one machine, to try things on: servers, switches, overlays, VMs, NAT.

from tapwright.lab import Lab

with Lab.up("bridge") as lab:
    lab.exec("web", ["ping", "-c", "1", "10.0.0.12"])
"""

from tapwright.lab.lab import Lab, down
from tapwright.lab.plan import Node, NodeKind, Plug, plan
from tapwright.lab.topology import Topology, load, parse, shipped
from tapwright.lab.userns import enter_userns

__all__ = ["Lab", "Node", "NodeKind", "Plug", "Topology", "down", "enter_userns", "load", "parse", "plan", "shipped"]
