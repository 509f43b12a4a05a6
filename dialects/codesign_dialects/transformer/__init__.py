"""The transformer dialect: a decoder as IR, its parameters outside.

The function marked ``transformer.step`` is the whole model: prefill and decode are bindings of it.
"""

from xdsl.ir import Dialect

from codesign_dialects.transformer.attention import AppendKVOp, AttentionOp, MapPagesOp
from codesign_dialects.transformer.attention_blocks import (
    AttentionBeginOp,
    AttentionBlockOp,
    AttentionEndOp,
    KeyBlocksOp,
    PutBlockOp,
    QueryBlocksOp,
    TakeBlockOp,
)
from codesign_dialects.transformer.experts import ExpertGatesOp, MoEOp
from codesign_dialects.transformer.feed_forward import ActivateOp, GateOp, GateTokensOp
from codesign_dialects.transformer.kv_cache import KVCacheType
from codesign_dialects.transformer.latent_attention import HeadLinearOp, JoinHeadsOp
from codesign_dialects.transformer.layers import (
    AddOp,
    EmbeddingOp,
    LastTokensOp,
    LinearOp,
    PositionEmbeddingOp,
    PositionScaleOp,
    QuantizeOp,
    ScaleOp,
    SoftcapOp,
    SplitOp,
)
from codesign_dialects.transformer.norms import LayerNormOp, RMSNormOp
from codesign_dialects.transformer.parameters import GetOp, ParameterOp, RepeatOp
from codesign_dialects.transformer.rotary import RotaryOp, RotaryScalingAttr
from codesign_dialects.transformer.routing import (
    AllToAllOp,
    CombineOp,
    DispatchOp,
    ExpertGateOp,
    ExpertLinearOp,
    RouteTopKOp,
)
from codesign_dialects.transformer.view import View, ViewAttr

STEP = "transformer.step"
"""The unit attribute of the function that is the model's step."""

Transformer = Dialect(
    "transformer",
    [
        ParameterOp,
        GetOp,
        RepeatOp,
        EmbeddingOp,
        PositionEmbeddingOp,
        LinearOp,
        RMSNormOp,
        LayerNormOp,
        RotaryOp,
        GateOp,
        GateTokensOp,
        ActivateOp,
        ExpertGatesOp,
        MoEOp,
        RouteTopKOp,
        DispatchOp,
        ExpertLinearOp,
        ExpertGateOp,
        CombineOp,
        AllToAllOp,
        AddOp,
        ScaleOp,
        PositionScaleOp,
        SoftcapOp,
        SplitOp,
        QuantizeOp,
        LastTokensOp,
        MapPagesOp,
        AppendKVOp,
        HeadLinearOp,
        JoinHeadsOp,
        AttentionOp,
        QueryBlocksOp,
        TakeBlockOp,
        PutBlockOp,
        KeyBlocksOp,
        AttentionBeginOp,
        AttentionBlockOp,
        AttentionEndOp,
    ],
    [KVCacheType, RotaryScalingAttr, ViewAttr],
)

__all__ = [
    "STEP",
    "ActivateOp",
    "AddOp",
    "AllToAllOp",
    "AppendKVOp",
    "AttentionBeginOp",
    "AttentionBlockOp",
    "AttentionEndOp",
    "AttentionOp",
    "CombineOp",
    "DispatchOp",
    "EmbeddingOp",
    "ExpertGateOp",
    "ExpertGatesOp",
    "ExpertLinearOp",
    "GateOp",
    "GateTokensOp",
    "GetOp",
    "HeadLinearOp",
    "JoinHeadsOp",
    "KVCacheType",
    "KeyBlocksOp",
    "LastTokensOp",
    "LayerNormOp",
    "LinearOp",
    "MapPagesOp",
    "MoEOp",
    "ParameterOp",
    "PositionEmbeddingOp",
    "PositionScaleOp",
    "PutBlockOp",
    "QuantizeOp",
    "QueryBlocksOp",
    "RMSNormOp",
    "RepeatOp",
    "RotaryOp",
    "RotaryScalingAttr",
    "RouteTopKOp",
    "ScaleOp",
    "SoftcapOp",
    "SplitOp",
    "TakeBlockOp",
    "Transformer",
    "View",
    "ViewAttr",
]
