"""The machine that a design makes, and designs that make none."""

import pytest

from codesign import api
from codesign.errors import CodesignError
from codesign.units.machine import CACHED, HOST_TOKENS, LOADED, Machine

EDGE = api.load_chip("edge")


def test_the_memory_in_cycles() -> None:
    memory = Machine.of(EDGE.evolve(edge={"clock": "2 GHz"}).design).memory
    assert (memory.latency, memory.rate) == (200, 34)
    assert (memory.refresh_interval, memory.refresh_cycles) == (7812, 560)


def test_what_is_stored_can_be_loaded() -> None:
    assert set(CACHED) < set(LOADED)


@pytest.mark.parametrize("time", ["390 ns", "400 ns"])
def test_a_refresh_without_end_is_refused(time) -> None:
    chip = EDGE.evolve(dram={"refresh_interval": "390 ns", "refresh_time": time})
    with pytest.raises(CodesignError) as error:
        Machine.of(chip.design)
    assert f"chip.memory @dram: a refresh of {time.split()[0]} cycles in every 390" in str(error.value)


def test_the_longest_refresh() -> None:
    chip = EDGE.evolve(dram={"refresh_interval": "390 ns", "refresh_time": "389 ns"})
    assert Machine.of(chip.design).memory.refresh_cycles == 389


def test_a_context_beyond_the_host_port_is_refused() -> None:
    assert Machine.of(EDGE.evolve(control={"context": HOST_TOKENS}).design).context == HOST_TOKENS
    with pytest.raises(CodesignError) as error:
        Machine.of(EDGE.evolve(control={"context": 9000}).design)
    assert "a context of 9000 tokens; the host port reaches 8192 (short by 808)" in str(error.value)
