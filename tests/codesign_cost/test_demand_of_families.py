"""Demand of what other decoders have beside Llama, against counts made key by key and expert by expert."""

from dataclasses import replace

import numpy as np
import pytest

from codesign import api
from codesign.frontends.decoder import build
from codesign.frontends.families.deepseek import DEEPSEEK_3
from codesign.frontends.families.llama import NAMES
from codesign.frontends.families.qwen import QWEN_3_MOE
from codesign.frontends.shape import Decoder, Experts, Latent, Layer, Names
from codesign.program import Program, describe
from codesign.workload import Workload
from codesign_cost.demand import Attentions, Collectives, Demand, Products, Table
from codesign_cost.errors import CostError
from codesign_cost.model import Model
from codesign_cost.reading.reading import unknown_operations

TINY = Decoder(96, 64, 3, 4, 2, 16, 160, 512, 1e-5, 1e4, tied=True)


def program(names: object, **changes: object) -> Program:
    assert isinstance(names, Names)
    module = build(replace(TINY, **changes), names, None)  # type: ignore[arg-type]
    describe(module, name="tiny", source=None, stop_tokens=())
    module.verify()
    return Program(module)


def read(program: Program, *, batch: int, tokens: int, past: int) -> Demand:
    return Model.of(program).demand(batch=batch, tokens=np.array([float(tokens)]), past=np.array([float(past)]))


def table(demand: Demand, kind: type[Table]) -> Table:
    (found,) = [own for own in demand.tables if isinstance(own, kind)]
    return found


@pytest.mark.parametrize(
    ("tokens", "past", "window"),
    [
        (1, 0, 8),
        (1, 7, 8),
        (1, 8, 8),
        (1, 300, 8),
        (5, 0, 8),
        (5, 6, 8),
        (20, 0, 8),
        (20, 30, 8),
        (3, 9, 1),
        (9, 4, 99),
    ],
)
def test_a_window_hides_what_is_before_it(tokens: int, past: int, window: int) -> None:
    tiny = program(NAMES, pattern=(Layer(window=window),))
    attention = table(read(tiny, batch=2, tokens=tokens, past=past), Attentions)
    seen = [set(range(max(0, past + i + 1 - window), past + i + 1)) for i in range(tokens)]
    np.testing.assert_array_equal(attention.pairs, sum(map(len, seen)))
    np.testing.assert_array_equal(attention.context, len(set.union(*seen)))


@pytest.mark.parametrize(
    ("tokens", "past", "chunk"), [(1, 0, 8), (1, 7, 8), (1, 8, 8), (5, 6, 8), (20, 30, 8), (3, 9, 1), (9, 4, 99)]
)
def test_a_chunk_hides_the_chunks_before_it(tokens: int, past: int, chunk: int) -> None:
    tiny = program(NAMES, pattern=(Layer(chunk=chunk),))
    attention = table(read(tiny, batch=2, tokens=tokens, past=past), Attentions)
    seen = [set(range((past + i) // chunk * chunk, past + i + 1)) for i in range(tokens)]
    np.testing.assert_array_equal(attention.pairs, sum(map(len, seen)))
    np.testing.assert_array_equal(attention.context, len(set.union(*seen)))


@pytest.mark.parametrize(("batch", "tokens", "chosen"), [(1, 1, 2), (3, 5, 2), (1, 1, 8), (64, 128, 1)])
def test_a_mixture_runs_the_chosen_and_reads_those_that_some_token_chose(batch: int, tokens: int, chosen: int) -> None:
    experts = Experts(8, chosen, 48)
    tiny = program(QWEN_3_MOE.names, experts=experts)
    products = table(read(tiny, batch=batch, tokens=tokens, past=0), Products)
    parts = [index for index, name in enumerate(products.names) if "expert" in name]
    assert {products.names[part] for part in parts} == {f"layers.expert_{name}" for name in ("gate", "up", "down")}
    read_experts = 8 * (1 - (1 - chosen / 8) ** (batch * tokens))
    for part in parts:
        repeat, macs = products.repeat[part].item(), products.macs[part].item()
        assert repeat * macs == pytest.approx(3 * batch * tokens * chosen * 48 * 64)
        assert repeat == pytest.approx(3 * read_experts)
        assert products.weight_bytes[part].item() == 4 * 48 * 64
    assert {products.by_rows[part].item() for part in parts} == {0, 1}
    assert Model.of(tiny).weight_bytes > 4 * 3 * 8 * 3 * 48 * 64


@pytest.mark.parametrize(("batch", "tokens", "past"), [(1, 1, 100), (3, 5, 0), (2, 7, 30)])
def test_latent_attention_reads_one_vector_a_token_and_multiplies_in_its_space(
    batch: int, tokens: int, past: int
) -> None:
    shape = replace(TINY, latent=Latent(rank=24, content=16, rotary=8, value=12, query_rank=20), kv_heads=4)
    assert callable(DEEPSEEK_3.names)
    names = replace(DEEPSEEK_3.names(shape), router=None)
    tiny = program(names, latent=shape.latent, kv_heads=4)
    demand = read(tiny, batch=batch, tokens=tokens, past=past)
    attention = table(demand, Attentions)
    pairs = sum(past + i + 1 for i in range(tokens))
    assert attention.macs.item() == batch * 4 * pairs * (24 + 8 + 24)
    assert attention.kv_bytes.item() == batch * (past + tokens) * 4 * (24 + 8)
    products = table(demand, Products)
    macs = dict(zip(products.names, products.macs.ravel().tolist(), strict=True))
    rows = batch * tokens
    assert macs["layers.key"] == rows * 4 * 16 * 24
    assert macs["layers.value"] == rows * 4 * 24 * 12
    assert macs["layers.rotary_query"] == rows * 20 * 4 * 8
    for name in ("key", "value", "latent"):
        index = products.names.index(f"layers.{name}")
        assert products.weight_bytes[index].item() * 3 == tiny.parameters[f"layers.{name}"].nbytes


def read_routed(tiny: Program, options: str, **step: int) -> tuple[Demand, Demand]:
    """The demand of a program, and of it with its mixtures routed."""
    return read(tiny, **step), read(api.compile(tiny, None, f"route-moe{options}"), **step)


def assert_equal(left: Table, right: Table) -> None:
    for name, value in vars(left).items():
        other = getattr(right, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(value, other, rtol=1e-12, err_msg=name)
        else:
            assert value == other, name


@pytest.mark.parametrize(("batch", "tokens", "chosen"), [(1, 1, 2), (3, 5, 2), (64, 128, 1)])
def test_routing_changes_no_demand(batch: int, tokens: int, chosen: int) -> None:
    tiny = program(QWEN_3_MOE.names, experts=Experts(8, chosen, 48))
    dense, routed = read_routed(tiny, "", batch=batch, tokens=tokens, past=0)
    assert len(dense.tables) == len(routed.tables) == 4
    for left, right in zip(dense.tables, routed.tables, strict=True):
        assert_equal(left, right)


def test_what_a_capacity_drops_is_not_computed() -> None:
    """Half of 4 · 10 · 2 choices find a place; with room for all, none is dropped."""
    tiny = program(QWEN_3_MOE.names, experts=Experts(8, 2, 48))
    for factor, share in ((0.5, 0.5), (4, 1.0)):
        dense, routed = read_routed(tiny, f"{{capacity={factor}}}", batch=4, tokens=10, past=0)
        before, after = (
            sum(
                float(own.repeat[index, 0, 0] * own.macs[index, 0, 0])
                for own in [table(demand, Products)]
                for index, name in enumerate(own.names)
                if "expert" in name
            )
            for demand in (dense, routed)
        )
        assert after == pytest.approx(share * before)


def test_experts_on_a_chip_each_exchange_tokens() -> None:
    tiny = program(QWEN_3_MOE.names, experts=Experts(8, 2, 48))
    dense, routed = read_routed(tiny, "{parallel=4}", batch=4, tokens=10, past=0)

    def exchanged(demand: Demand) -> dict[str, float]:
        own, found = table(demand, Collectives), dict[str, float]()
        for kind, repeat, elements in zip(own.kinds, own.repeat[:, 0, 0], own.elements[:, 0, 0], strict=True):
            found[kind] = found.get(kind, 0.0) + repeat * elements
        return found

    stream = 3 * 4 * 10 * 64
    before, after = exchanged(dense), exchanged(routed)
    assert before["all_reduce"] - after["all_reduce"] == stream
    assert after["all_gather"] - before["all_gather"] == stream
    assert after["all_to_all"] == 2 * 2 * stream


def test_ranks_are_chips() -> None:
    tiny = program(QWEN_3_MOE.names, experts=Experts(8, 2, 48))
    routed = api.compile(tiny, api.load_chip("h100"), "route-moe{parallel=4}")
    workload = Workload(batch=4, input=16, output=4)
    with pytest.raises(CostError, match="no plan for 2 chips has expert 4"):
        api.cost(routed, workload, chips=2)
    with pytest.raises(CostError, match="states expert=4 in its IR; the plan asked for has 2"):
        api.cost(routed, workload, degrees={"expert": 2})
    assert api.cost(routed, workload, chips=4).to_dict()["plan"]["expert"] == 4


def test_every_operation_of_every_family_is_priced() -> None:
    names = replace(
        NAMES,
        gate=None,
        positions="positions",
        query_norm="{}.q",
        key_norm="{}.k",
        sinks="{}.sinks",
        attention_post_norm="{}.post",
        router="{}.router",
        expert_gate="{}.gate",
        expert_up="{}.up",
        expert_down="{}.down",
        shared_router="{}.shared_router",
        shared_up="{}.shared_up",
        shared_down="{}.shared_down",
    )
    tiny = program(
        names,
        layer_norm=True,
        head_norm=False,
        biases=frozenset(("query", "router", "norm")),
        attention_softcap=9.0,
        logit_softcap=9.0,
        embedding_scale=3.0,
        experts=Experts(4, 2, 48, shared=32),
    )
    assert not list(unknown_operations(tiny))
    names_of = {name for own in read(tiny, batch=1, tokens=3, past=0).tables for name in own.names}
    assert {
        "layer_norm", "position_embedding", "softcap", "scale", "expert_gates", "combine", "activate", "layers.router",
        "gate_tokens",
    } <= names_of  # fmt: skip
