"""Every rule of a manual that a chip's source could break is broken here, and reported."""

import pytest

F4 = "nucleo-f446re"
WRONG = {
    # The board; what is put in the place of what, in the chip's own files; what is reported.
    "wait states after the switch": (
        F4,
        {
            " || !set_wait_states()": "",
            "= start_clock();": "= start_clock();\n  (void)set_wait_states();",
        },
        "the core runs at 180 MHz with 0 wait states, which needs 5",
    ),
    "one wait state too few": (
        F4,
        {" BOARD_FLASH_WAIT_STATES": " 4U"},
        "the core runs at 180 MHz with 4 wait states, which needs 5",
    ),
    "no over-drive": (
        F4,
        {" || !start_over_drive()": ""},
        "the core runs at 180 MHz, where voltage scale 1 allows 168",
    ),
    "over-drive before the PLL": (
        F4,
        {"!start_pll() || !start_over_drive()": "!start_over_drive() || !start_pll()"},
        "PWR is written while its clock is off",
    ),
    "a switch to a PLL that is not waited for": (
        F4,
        {
            "stm32_wait(RCC_CR, PLL_READY, PLL_READY) && ": "",
            " || !start_over_drive()": "",
        },
        "the core is switched to a clock that is not ready",
    ),
    "a bus too fast": (
        F4,
        {"prescaler(CHIP_APB1_DIVIDER)": "prescaler(2U)"},
        "APB1 runs at 90 MHz, 45 are allowed",
    ),
    "a serial port without its clock": (
        F4,
        {"stm32_set(STM32_RCC + UART_CLOCKS, 1U << UART_CLOCK_BIT);": ""},
        "USART2 is written while its clock is off",
    ),
    "the baud rate of another clock": (
        F4,
        {"(BOARD_CLOCK_HZ / PORT_DIVIDER)": "BOARD_CLOCK_HZ"},
        "the port sends at 28,791 baud, not at 115,200",
    ),
    "a PLL out of its range": (
        F4,
        {"(CHIP_PLL_N << 6)": "(250U << 6)"},
        "the PLL's oscillator runs at 500 MHz, not 100 to 432",
    ),
    "a pin with another function": (
        F4,
        {"UART_TX_FUNCTION": "8U"},
        "TX (PA2) is not in alternate function 7",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_manual_forbids_is_reported(run_probe, name):
    board, places, what = WRONG[name]
    met = set()

    def change(text):
        for right, wrong in places.items():
            if right in text:
                met.add(right)
                text = text.replace(right, wrong)
        return text

    done = run_probe(board, change=change)
    assert met == set(places), "the source reads differently now"
    assert what in [violation.what for violation in done.violations]
