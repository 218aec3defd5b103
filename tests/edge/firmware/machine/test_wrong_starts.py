"""Every rule of a manual that a chip's source could break is broken here, and reported."""

import pytest

F4 = "nucleo-f446re"
AFTER_THE_SWITCH = {
    " || !set_wait_states()": "",
    "= start_clock() ?": "= start_clock() && set_wait_states() ?",
}
H7, H7A3, U5 = "nucleo-h743zi2", "nucleo-h7a3zi-q", "nucleo-u575zi-q"
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
    "STM32F7: no over-drive": (
        "nucleo-f746zg",
        {" || !start_over_drive()": ""},
        "the core runs at 216 MHz, where voltage scale 1 allows 180",
    ),
    "STM32L4: no wait states": (
        "nucleo-l476rg",
        {" || !set_wait_states()": ""},
        "the core runs at 40 MHz with 0 wait states, which needs 2",
    ),
    "STM32L4+: no boost": (
        "nucleo-l4r5zi",
        {"PWR_CR5, NO_BOOST, 0U": "PWR_CR5, NO_BOOST, NO_BOOST"},
        "the core runs at 120 MHz, where the voltage allows 80",
    ),
    "STM32G0: no wait states": (
        "nucleo-g0b1re",
        {" || !set_wait_states()": ""},
        "the core runs at 64 MHz with 0 wait states, which needs 2",
    ),
    "STM32L4: wait states after the switch": (
        "nucleo-l476rg",
        AFTER_THE_SWITCH,
        "the core runs at 80 MHz with 0 wait states, which needs 4",
    ),
    "STM32L4: the second range of the voltage": (
        "b-l475e-iot01a",
        {"RANGE, FIRST_RANGE": "RANGE, 2U << 9"},
        "the core runs at 80 MHz, where the voltage allows 26",
    ),
    "STM32L4: a PLL out of its range": (
        "nucleo-l476rg",
        {"(CHIP_PLL_N << 8)": "(50U << 8)"},
        "the PLL's oscillator runs at 400 MHz, not 64 to 344",
    ),
    "STM32L4: a PLL without its source": (
        "nucleo-l476rg",
        {
            "stm32_set(RCC_CR, HSI_ON);": "",
            "!stm32_wait(RCC_CR, HSI_READY, HSI_READY)": "false",
        },
        "the PLL is started before its source",
    ),
    "STM32L4+: wait states after the switch": (
        "nucleo-l4r5zi",
        AFTER_THE_SWITCH,
        "the core runs at 60 MHz with 0 wait states, which needs 2",
    ),
    "STM32L4+: above 80 MHz in one step": (
        "nucleo-l4r5zi",
        {"PRESCALERS, HALF_SPEED": "PRESCALERS, 0U"},
        "the core is switched above 80 MHz in one step",
    ),
    "STM32L4+: port G without its supply": (
        "nucleo-l4r5zi",
        {"stm32_set(PWR_CR2, PORT_G_POWER);": ""},
        "port G is used before its supply is let in",
    ),
    "STM32G0: wait states after the switch": (
        "nucleo-g0b1re",
        AFTER_THE_SWITCH,
        "the core runs at 64 MHz with 0 wait states, which needs 2",
    ),
    "STM32G0: the second range of the voltage": (
        "nucleo-g0b1re",
        {"RANGE, FIRST_RANGE": "RANGE, 2U << 9"},
        "the core runs at 64 MHz, where the voltage allows 16",
    ),
    "STM32G0: an output of the PLL that is off": (
        "nucleo-g0b1re",
        {" | PLL_HAS_OUTPUT_R |": " |"},
        "the core is switched to an output of the PLL that is off",
    ),
    "STM32U5: no booster": (
        U5,
        {
            "stm32_set(PWR_VOSR, BOOST);": "",
            "return stm32_wait(PWR_VOSR, BOOST_READY, BOOST_READY);": "return true;",
        },
        "the core runs at 160 MHz, where range 1 without the booster allows 55",
    ),
    "STM32U5: wait states after the switch": (
        U5,
        {
            " ||\n      !set_wait_states()": "",
            "= start_clock() ? BOARD_CLOCK_HZ": (
                "= (start_clock() && set_wait_states()) ? BOARD_CLOCK_HZ"
            ),
        },
        "the core runs at 160 MHz in range 1 with 0 wait states, which needs 4",
    ),
    "STM32U5: the second range": (
        U5,
        {"PWR_VOSR, FIRST_RANGE, FIRST_RANGE": "PWR_VOSR, FIRST_RANGE, 2U << 16"},
        "the core runs at 160 MHz, where range 2 with the booster allows 110",
    ),
    "STM32U5: a PLL before the voltage": (
        U5,
        {"!raise_voltage() || !start_pll()": "!start_pll() || !raise_voltage()"},
        "the PLL is started in range 4, which has none",
    ),
    "STM32U5: a booster before its clock": (
        U5,
        {"!choose_source() || !raise_voltage()": "!raise_voltage() || !choose_source()"},
        "the booster is switched on before its clock",
    ),
    "STM32U5: the booster's clock too slow": (
        U5,
        {"PLL_HAS_OUTPUT_R |": "PLL_HAS_OUTPUT_R | (8U << 12) |"},
        "the booster is given 1 MHz, not 4 to 16",
    ),
    "STM32U5: the PLL's input in another range": (
        U5,
        {"| PLL_8_TO_16_MHZ": "", "(CHIP_PLL_M - 1U) << 8": "0U << 8"},
        "the PLL is given 16 MHz, where its range is 4 to 8",
    ),
    "STM32U5: a PLL out of its range": (
        U5,
        {"(CHIP_PLL_N - 1U)": "(CHIP_PLL_N + 29U)"},
        "the PLL's oscillator runs at 560 MHz, not 128 to 544",
    ),
    "STM32U5: a PLL that is not waited for": (
        U5,
        {"return stm32_wait(RCC_CR, PLL_READY, PLL_READY);": "return true;"},
        "the core is switched to a clock that is not ready",
    ),
    "STM32U5: PWR without its clock": (
        U5,
        {"stm32_set(RCC_AHB3ENR, POWER_CLOCK);": ""},
        "PWR is written while its clock is off",
    ),
    "STM32H7: no higher voltage": (
        H7,
        {"PWR_D3CR, SCALE, SCALE": "PWR_D3CR, SCALE, 1U << 14"},
        "the core runs at 480 MHz, where voltage scale 3 allows 200",
    ),
    "STM32H7: wait states after the switch": (
        H7A3,
        {
            " || !set_wait_states()": "",
            "= start_clock();": "= start_clock();\n  (void)set_wait_states();",
        },
        "the flash runs at 280 MHz at voltage scale 0 with 3 wait states, which needs 6",
    ),
    "STM32H7: one wait state too few": (
        H7,
        {"BOARD_FLASH_WAIT_STATES": "3U"},
        "the flash runs at 240 MHz at voltage scale 0 with 3 wait states, which needs 4",
    ),
    "STM32H7: the programming delay of a slower bus": (
        H7,
        {"(CHIP_FLASH_WRITE_DELAY << 4)": "(1U << 4)"},
        "the flash runs at 240 MHz at voltage scale 0 with programming delay 1, which needs 2",
    ),
    "STM32H7: no over-drive": (
        H7,
        {"stm32_set(SYSCFG_PWRCR, OVER_DRIVE);": ""},
        "the core runs at 480 MHz, where voltage scale 1 allows 400",
    ),
    "STM32H7: over-drive that is not waited for": (
        H7,
        {
            "OVER_DRIVE);\n  return stm32_wait(PWR_D3CR, VOLTAGE_READY, VOLTAGE_READY);": (
                "OVER_DRIVE);\n  return true;"
            )
        },
        "the core runs at 480 MHz, where voltage scale 1 allows 400",
    ),
    "STM32H7: over-drive before the voltage": (
        H7,
        {"stm32_change(PWR_D3CR, SCALE, SCALE);\n": ""},
        "over-drive is switched on below voltage scale 1",
    ),
    "STM32H7: over-drive on the step-down converter": (
        "portenta-h7",
        {"(*stm32_at(PWR_CR3) & LDO_SUPPLY) == 0U": "CHIP_HAS_OVER_DRIVE == 0U"},
        "over-drive is switched on without the LDO",
    ),
    "STM32H7: SYSCFG without its clock": (
        H7,
        {"stm32_set(RCC_APB4ENR, SYSCFG_CLOCK);": ""},
        "SYSCFG is written while its clock is off",
    ),
    "STM32H7: no supply": (
        H7A3,
        {
            "stm32_change(PWR_CR3, SUPPLY, CHIP_SUPPLY);": "",
            "if (!stm32_wait(PWR_CSR1, VOLTAGE_READY, VOLTAGE_READY))": "if (false)",
        },
        "the voltage is chosen before the supply",
    ),
    "STM32H7: another supply than the boot loader's": (
        "giga-r1",
        {"if (CHIP_SUPPLY != 0U)": "if (CHIP_SUPPLY == 0U)", "SUPPLY, CHIP_SUPPLY": "SUPPLY, 2U"},
        "the supply is chosen a second time",
    ),
    "STM32H7: a PLL that is not waited for": (
        H7,
        {"PLL_ON);\n  return stm32_wait(RCC_CR, PLL_READY, PLL_READY)": "PLL_ON);\n  return true"},
        "the core is switched to a clock that is not ready",
    ),
    "STM32H7: a PLL before its source": (
        H7,
        {
            "stm32_set(RCC_CR, HSE_ON);": "",
            "if (stm32_wait(RCC_CR, HSE_READY, HSE_READY))": "if (true)",
        },
        "the PLL is started before its source",
    ),
    "STM32H7: the PLL's input in another range": (
        H7,
        {"PLL_4_TO_8_MHZ |": ""},
        "the PLL is given 4 MHz, where its range is 1 to 2",
    ),
    "STM32H7: a PLL out of its range": (
        H7A3,
        {"(pll_n - 1U)": "(pll_n + 9U)"},
        "the PLL's oscillator runs at 600 MHz, not 128 to 560",
    ),
    "STM32H7: an odd divider": (
        H7,
        {"(CHIP_PLL_P - 1U) << 9": "CHIP_PLL_P << 9"},
        "the PLL's output is divided by 3, which is odd",
    ),
    "STM32H7: a bus too fast": (
        H7,
        {"(CHIP_AHB_DIVIDER == 1U) ? 0U : 8U": "0U"},
        "AXI runs at 480 MHz, 240 are allowed",
    ),
    "STM32H7: APB4 too fast": (
        H7A3,
        {"stm32_change(RCC_D3CFGR, 0x70U, apb << 4);": ""},
        "APB4 runs at 280 MHz, 140 are allowed",
    ),
    "nRF52: no crystal": (
        "microbit-v2",
        {"CLOCK_START = 1U;": ""},
        "the port sends before the crystal runs",
    ),
    "nRF52: a closed debug port": (
        "nrf52840-dk",
        {"APPROTECT_DISABLE = OPEN;": ""},
        "the debug port of hardened silicon is left closed",
    ),
    "nRF53: the clock before the trims": (
        "nrf5340-dk",
        {"  trim();\n": "", "  start_uart();\n": "  trim();\n  start_uart();\n"},
        "the core's clock rises before the factory's trims are written",
    ),
    "nRF53: no crystal": (
        "nrf5340-dk",
        {"CLOCK_START = 1U;": ""},
        "the port sends before the crystal runs",
    ),
    "nRF53: a closed debug port": (
        "nrf5340-dk",
        {"SECURE_APPROTECT_DISABLE = UICR_SECURE_APPROTECT;": ""},
        "the secure debug port is left closed",
    ),
    "nRF53: a byte from the flash": (
        "nrf5340-dk",
        {"(uint32_t)(uintptr_t)&sent": "0x100U"},
        "the port is given 0x00000100, which it cannot reach",
    ),
    "SAMD21: no wait state": (
        "arduino-zero",
        {"NVM_MANUAL_WRITE | NVM_WAIT_STATES": "NVM_MANUAL_WRITE"},
        "the core runs at 48.005 MHz with 0 wait states, which needs 1",
    ),
    "SAMD21: the DFLL on demand": (
        "arduino-zero",
        {"DFLL_CONTROL = ENABLE;": "DFLL_CONTROL = ENABLE | 0x80U;"},
        "the DFLL is set up while it runs on demand (erratum 9905)",
    ),
    "RP2040: a PLL that is not waited for": (
        "raspberry-pi-pico",
        {"RP2_PLL_POWER = RP2_PLL_ALL_ON;": ""},
        "the core is switched to a clock that is not ready",
    ),
    "RP2350: a PLL too fast": (
        "raspberry-pi-pico-2",
        {"= CHIP_PLL_MULTIPLIER;": "= 133U;"},
        "the core runs at 159.6 MHz, 150 are allowed",
    ),
    "i.MX RT: no higher voltage": (
        "teensy-4.1",
        {"| DCDC_1250_MILLIVOLTS": "| 0x0EU"},
        "the core runs at 600 MHz on 1150 mV, which needs 1250",
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
