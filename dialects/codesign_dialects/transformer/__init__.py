"""The transformer dialect: a decoder as IR, its parameters outside.

The function marked ``transformer.step`` is the whole model: prefill and decode are bindings of it.
"""

from xdsl.ir import Dialect

from codesign_dialects.transformer.attention import (
    AppendKVOp,
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    AttentionOp,
    KeyBlocksOp,
)
from codesign_dialects.transformer.kv_cache import KVCacheType
from codesign_dialects.transformer.layers import (
    AddOp,
    EmbeddingOp,
    GateOp,
    LastTokensOp,
    LinearOp,
    QuantizeOp,
    RMSNormOp,
    RotaryOp,
)
from codesign_dialects.transformer.parameters import GetOp, ParameterOp, RepeatOp

STEP = "transformer.step"
"""The unit attribute of the function that is the model's step."""

Transformer = Dialect(
    "transformer",
    [
        ParameterOp,
        GetOp,
        RepeatOp,
        EmbeddingOp,
        LinearOp,
        RMSNormOp,
        RotaryOp,
        GateOp,
        AddOp,
        QuantizeOp,
        LastTokensOp,
        AppendKVOp,
        AttentionOp,
        KeyBlocksOp,
        AttentionBeginOp,
        AttentionBlockOp,
        AttentionEndOp,
    ],
    [KVCacheType],
)

__all__ = [
    "STEP",
    "AddOp",
    "AppendKVOp",
    "AttentionBeginOp",
    "AttentionBlockOp",
    "AttentionEndOp",
    "AttentionOp",
    "EmbeddingOp",
    "GateOp",
    "GetOp",
    "KVCacheType",
    "KeyBlocksOp",
    "LastTokensOp",
    "LinearOp",
    "ParameterOp",
    "QuantizeOp",
    "RMSNormOp",
    "RepeatOp",
    "RotaryOp",
    "Transformer",
]
