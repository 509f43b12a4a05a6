"""The passes: one file each, named like the pass."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdsl.passes import ModulePass


def _quantize() -> "type[ModulePass]":
    from codesign.passes.quantize import QuantizePass

    return QuantizePass


def _sparsify() -> "type[ModulePass]":
    from codesign.passes.sparsify import SparsifyPass

    return SparsifyPass


def _rotate() -> "type[ModulePass]":
    from codesign.passes.rotate import RotatePass

    return RotatePass


def _moefy() -> "type[ModulePass]":
    from codesign.passes.moefy import MoefyPass

    return MoefyPass


def _route_moe() -> "type[ModulePass]":
    from codesign.passes.route_moe import RouteMoePass

    return RouteMoePass


def _block_attention() -> "type[ModulePass]":
    from codesign.passes.block_attention import BlockAttentionPass

    return BlockAttentionPass


def _page_kv() -> "type[ModulePass]":
    from codesign.passes.page_kv import PageKVPass

    return PageKVPass


def _fuse() -> "type[ModulePass]":
    from codesign.passes.fuse import FusePass

    return FusePass


def _specialize() -> "type[ModulePass]":
    from codesign.passes.specialize import SpecializePass

    return SpecializePass


def _shard() -> "type[ModulePass]":
    from codesign.passes.shard import ShardPass

    return ShardPass


def _canonicalize() -> "type[ModulePass]":
    from xdsl.transforms.canonicalize import CanonicalizePass

    return CanonicalizePass


def _cse() -> "type[ModulePass]":
    from codesign.passes.cse import CsePass

    return CsePass


def _lower_to_microcode() -> "type[ModulePass]":
    from codesign.passes.lower_to_microcode import LowerToMicrocodePass

    return LowerToMicrocodePass


def _schedule() -> "type[ModulePass]":
    from codesign.passes.schedule import SchedulePass

    return SchedulePass


PASSES: "dict[str, Callable[[], type[ModulePass]]]" = {
    "quantize": _quantize,
    "sparsify": _sparsify,
    "rotate": _rotate,
    "moefy": _moefy,
    "route-moe": _route_moe,
    "block-attention": _block_attention,
    "page-kv": _page_kv,
    "fuse": _fuse,
    "specialize": _specialize,
    "shard": _shard,
    "canonicalize": _canonicalize,
    "cse": _cse,
    "lower-to-microcode": _lower_to_microcode,
    "schedule": _schedule,
}
"""Every pass by name, imported on first use."""
