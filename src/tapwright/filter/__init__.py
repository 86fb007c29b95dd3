"""Filters: pcap-filter text, and `vm NAME`, into classic BPF that the kernel runs."""

from tapwright.filter.compile import Compiled, compile_filter
from tapwright.filter.position import render
from tapwright.filter.program import MAX_SNAPLEN, Program
from tapwright.filter.vms import Resolve

__all__ = ["MAX_SNAPLEN", "Compiled", "Program", "Resolve", "compile_filter", "render"]
