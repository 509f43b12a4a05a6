"""Files as ``torch.export.save`` writes them, without PyTorch: a graph in JSON and raw tensors in a zip."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np

NUMBERS = {"float32": 7, "int64": 5, "bool": 12, "int32": 4, "float64": 8}


def meta(shape: Sequence[Any], dtype: str = "float32", **changed: Any) -> dict[str, Any]:
    """A tensor's description; an extent that is a text is a symbol."""
    strides = [int(np.prod([e for e in shape[place + 1 :] if isinstance(e, int)])) for place in range(len(shape))]
    sizes = [
        {"as_int": extent}
        if isinstance(extent, int)
        else {"as_expr": {"expr_str": f"Symbol('{extent}', integer=True)"}}
        for extent in shape
    ]
    return {
        "dtype": NUMBERS[dtype],
        "sizes": sizes,
        "strides": [{"as_int": stride} for stride in strides],
        "storage_offset": {"as_int": 0},
        **changed,
    }


def argument(value: Any) -> dict[str, Any]:
    """An argument of a node; a text is the name of a tensor."""
    match value:
        case float():
            return {"as_float": value if np.isfinite(value) else str(value).replace("inf", "Infinity")}
        case str():
            return {"as_tensor": {"name": value}}
        case [str(), *_]:
            return {"as_tensors": [{"name": name} for name in value]}
        case _:
            kinds = {bool: "as_bool", int: "as_int", list: "as_ints", type(None): "as_none"}
            return {kinds[type(value)]: value}


def node(target: str, outputs: Sequence[str], **arguments: Any) -> dict[str, Any]:
    """A node that applies an operator of ATen."""
    return {
        "target": f"torch.ops.aten.{target}",
        "name": outputs[0],
        "inputs": [{"name": name, "arg": argument(value)} for name, value in arguments.items()],
        "outputs": [argument(name) for name in outputs],
    }


def program(
    nodes: Sequence[Any],
    inputs: Mapping[str, Any],
    outputs: Sequence[str],
    types: Mapping[str, Any],
    weights: Mapping[str, "np.ndarray[Any, Any]"] | None = None,
) -> dict[str, Any]:
    """The JSON of a program; `weights` are parameters by name."""
    held = weights or {}
    specs = [{"parameter": {"arg": {"name": name}, "parameter_name": name}} for name in held]
    specs += [{"user_input": {"arg": {"as_tensor": {"name": name}}}} for name in inputs]
    described = {name: meta(array.shape, str(array.dtype)) for name, array in held.items()}
    return {
        "schema_version": {"major": 8, "minor": 20},
        "range_constraints": {"t": {"min_val": 1, "max_val": 40}},
        "graph_module": {
            "graph": {"nodes": list(nodes), "tensor_values": {**described, **inputs, **types}},
            "signature": {
                "input_specs": specs,
                "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": name}}}} for name in outputs],
            },
        },
    }


def write(
    path: Path,
    program: Mapping[str, Any],
    weights: Mapping[str, "np.ndarray[Any, Any]"] | None = None,
    *,
    change: Callable[[dict[str, Any]], None] = lambda config: None,
    compression: int = ZIP_STORED,
) -> Path:
    """Write an archive; `change` may change what describes its weights."""
    config: dict[str, Any] = {}
    with ZipFile(path, "w", compression) as file:
        for number, (name, array) in enumerate((weights or {}).items()):
            config[name] = {
                "path_name": f"weight_{number}",
                "use_pickle": False,
                "tensor_meta": meta(array.shape, str(array.dtype)),
            }
            file.writestr(f"model/data/weights/weight_{number}", array.tobytes())
        change(config)
        file.writestr("model/data/weights/model_weights_config.json", json.dumps({"config": config}))
        file.writestr("model/models/model.json", json.dumps(program))
    return path
