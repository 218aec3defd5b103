"""The STM32U5 as other firmware leaves it: on the PLL, with the booster on."""

from edge.firmware.machine import chips
from edge.firmware.machine.stm32u5 import (
    AHB3ENR,
    CFGR1,
    CR,
    PLL1CFGR,
    PLL1DIVR,
    VOSR,
    make_stm32u5,
)

MSI, MSI_AND_PLL, IN_USE, WITH_OUTPUT_R = 1, 1 << 0 | 1 << 2 | 3 << 24, 3 | 3 << 2, 1 << 18
BOOSTED, BOOST_READY = 3 << 16 | 1 << 18, 1 << 14


def as_left(board, line, watch, *, is_dead=False):
    """A chip whose core runs on a PLL of 160 MHz from MSI, in range 1 with the booster."""
    chip = make_stm32u5(board, line, watch, is_dead=is_dead)
    rcc, power, flash = (
        next(block for block in chip.blocks if block.name == name)
        for name in ("RCC", "PWR", "FLASH")
    )
    rcc.values |= {PLL1CFGR: MSI | WITH_OUTPUT_R, PLL1DIVR: 79 | 1 << 24}
    rcc.values |= {AHB3ENR: 1 << 2, CR: MSI_AND_PLL}
    flash.write(0, 4)
    power.write(VOSR, BOOSTED)
    while not power.read(VOSR) & BOOST_READY:
        pass
    rcc.write(CFGR1, IN_USE)
    assert chip.core_hz() == 160_000_000
    return chip


def test_starts_after_firmware_that_used_pll_and_booster(run_probe, monkeypatch):
    """The booster's clock is the PLL's source, which may change only while the booster is off."""
    monkeypatch.setitem(chips.MODELS, "STM32U5", as_left)
    done = run_probe("nucleo-u575zi-q")
    assert [violation.what for violation in done.violations] == []
    assert done.text == "clock 160000000\r\n"
    assert done.is_at(160_000_000)
