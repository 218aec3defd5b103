"""The registers that every Cortex-M core has: system control, SysTick, cycle counter, MPU."""

from __future__ import annotations

from edge.firmware.machine.registers import Registers

CYCLES_A_READ = 1000
"""How far a counter goes on from one look at it to the next: an emulated core has no time."""
VTOR, CPACR, CFSR, HFSR, MMFAR, BFAR = 0xD08, 0xD88, 0xD28, 0xD2C, 0xD34, 0xD38


def core_blocks() -> list[Registers]:
    """Makes the private peripherals of a core.

    Returns:
        The system control space, the data watchpoint unit with the cycle counter and the trace
        cells.

    Example:
        >>> [block.name for block in core_blocks()]
        ['ITM', 'DWT', 'SCS', 'SCS NS', 'DCB']
    """
    control = Registers("SCS", 0xE000E000, 0x1000)
    trace = Registers("DWT", 0xE0001000, 0x1000)
    _count_down(control)
    _count_cycles(trace)
    return [
        Registers("ITM", 0xE0000000, 0x1000),
        trace,
        control,
        Registers("SCS NS", 0xE002E000, 0x1000),
        Registers("DCB", 0xE0040000, 0x3000),
    ]


def _count_down(control: Registers) -> None:
    """SysTick, from its reload value to 0 and again; bit 16 says that it got there."""
    state = {"value": 0, "wrapped": 0}

    def current() -> int:
        if control[0x10] & 1:
            state["value"] -= CYCLES_A_READ
            if state["value"] < 0:
                state["value"] %= (control[0x14] & 0xFFFFFF) + 1
                state["wrapped"] = 1
        return state["value"]

    def status() -> int:
        current()
        flag, state["wrapped"] = state["wrapped"], 0
        return control[0x10] & 0xFFFF | flag << 16

    def restart(old: int, new: int) -> int:
        # The first tick after a write loads the register that the count starts from.
        state["value"] = (control[0x14] & 0xFFFFFF) + 1
        return 0

    control.reads[0x18] = current
    control.reads[0x10] = status
    control.writes[0x18] = restart
    # A written 1 clears the fault's bit.
    control.writes[CFSR] = lambda old, new: old & ~new
    control.writes[HFSR] = lambda old, new: old & ~new


def _count_cycles(trace: Registers) -> None:
    def count() -> int:
        if trace[0] & 1:
            trace[4] = trace[4] + CYCLES_A_READ
        return trace[4]

    trace.reads[4] = count
