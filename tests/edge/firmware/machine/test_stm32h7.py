"""The STM32H7 as a boot loader leaves it: a supply, and perhaps a PLL, of its own choice."""

from edge.firmware.machine import chips, stm32h7
from edge.firmware.machine.stm32h7 import (
    CFGR,
    CR,
    D1CFGR,
    D3CR,
    LDO,
    PLL1DIVR,
    PLLCFGR,
    PLLCKSELR,
    make_stm32h7,
)

HSI_BY_2_AND_PLL, IN_USE = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 3 << 24, 3 | 3 << 3


def as_left(board, line, watch, *, is_dead=False):
    """A chip whose core runs on a PLL of 200 MHz, from half of HSI's clock, at voltage scale 1."""
    chip = make_stm32h7(board, line, watch, is_dead=is_dead)
    rcc, power = (
        next(block for block in chip.blocks if block.name == name) for name in ("RCC", "PWR")
    )
    power.write(D3CR, 3 << 14)
    while not power.read(D3CR) >> 13 & 1:
        pass
    rcc.values |= {PLLCKSELR: 8 << 4, PLLCFGR: 2 << 2 | 1 << 16, PLL1DIVR: 99 | 1 << 9}
    rcc.values |= {CR: HSI_BY_2_AND_PLL, D1CFGR: 8, CFGR: IN_USE}
    assert chip.core_hz() == 200_000_000
    return chip


def test_starts_after_a_boot_loader_that_used_the_pll(run_probe, monkeypatch):
    """HSI can be divided anew only once no PLL runs on it."""
    monkeypatch.setitem(chips.MODELS, "STM32H747", as_left)
    done = run_probe("giga-r1")
    assert [violation.what for violation in done.violations] == []
    assert done.text == "clock 400000000\r\n"
    assert done.is_at(400_000_000)


def test_reaches_the_full_clock_where_the_boot_loader_chose_the_ldo(run_probe, monkeypatch):
    monkeypatch.setattr(stm32h7, "BOOTED_SUPPLY", LDO)
    done = run_probe("portenta-h7")
    assert [violation.what for violation in done.violations] == []
    assert done.text == "clock 480000000\r\n"
    assert done.is_at(480_000_000)
