"""The second stage of the RP2040's boot, which makes its flash readable in place.

The boot ROM copies the first 256 bytes of the flash to RAM, compares the checksum of the first 252
with the last four, and enters them. What stands here sets the flash's quad-enable bit where it is
not set yet, turns to quad reads without a command (EBh, continued; four cycles of waiting behind
address and mode, a bit every two cycles of the core) and enters the image through the vector table
behind it. A flash that takes no quad bit is read by 03h, a bit every four cycles. Each wait ends.
"""

from __future__ import annotations

BOOT_BYTES = 256
BOOT_CRC_POLYNOMIAL = 0x04C11DB7

PROGRAM = """
4832                    ldr r0, pads
2121                    movs r1, #0x21
6041                    str r1, [r0, #4]
6881                    ldr r1, [r0, #8]
2202                    movs r2, #2
4391                    bics r1, r2
6081                    str r1, [r0, #8]
60c1                    str r1, [r0, #12]
6101                    str r1, [r0, #16]
6141                    str r1, [r0, #20]
4b2e                    ldr r3, ssi
2500                    movs r5, #0
2601                    movs r6, #1
27f0                    movs r7, #0xf0
609d                    str r5, [r3, #8]
2002                    movs r0, #2
6158                    str r0, [r3, #20]
51de                    str r6, [r3, r7]
3704                    adds r7, #4
482b                    ldr r0, serial_bytes
6018                    str r0, [r3, #0]
609e                    str r6, [r3, #8]
f000 f835               bl is_quad
d11b                    bne quad
2006                    movs r0, #0x06
6618                    str r0, [r3, #0x60]
f000 f83f               bl wait
6e18                    ldr r0, [r3, #0x60]
2031                    movs r0, #0x31
2102                    movs r1, #2
f000 f832               bl exchange
4c24                    ldr r4, turns
2005      busy:         movs r0, #0x05
f000 f82e               bl exchange
4230                    tst r0, r6
d001                    beq ready
3c01                    subs r4, #1
d1f8                    bne busy
f000 f821 ready:        bl is_quad
d107                    bne quad
609d                    str r5, [r3, #8]
2004                    movs r0, #4
6158                    str r0, [r3, #20]
481e                    ldr r0, serial_words
6018                    str r0, [r3, #0]
605d                    str r5, [r3, #4]
491e                    ldr r1, serial_read
e00e                    b enter
609d      quad:         str r5, [r3, #8]
481d                    ldr r0, quad_words
6018                    str r0, [r3, #0]
605d                    str r5, [r3, #4]
491d                    ldr r1, quad_first
51d9                    str r1, [r3, r7]
609e                    str r6, [r3, #8]
20eb                    movs r0, #0xeb
6618                    str r0, [r3, #0x60]
20a0                    movs r0, #0xa0
6618                    str r0, [r3, #0x60]
f000 f81a               bl wait
609d                    str r5, [r3, #8]
4919                    ldr r1, quad_read
51d9      enter:        str r1, [r3, r7]
609e                    str r6, [r3, #8]
4818                    ldr r0, image
4919                    ldr r1, vtor
6008                    str r0, [r1]
c806                    ldmia r0!, {r1, r2}
f381 8808               msr msp, r1
4710                    bx r2
b500      is_quad:      push {lr}
2035                    movs r0, #0x35
f000 f803               bl exchange
2102                    movs r1, #2
4208                    tst r0, r1
bd00                    pop {pc}
b500      exchange:     push {lr}
6618                    str r0, [r3, #0x60]
6619                    str r1, [r3, #0x60]
f000 f803               bl wait
6e18                    ldr r0, [r3, #0x60]
6e18                    ldr r0, [r3, #0x60]
bd00                    pop {pc}
22ff      wait:         movs r2, #255
6a98      again:        ldr r0, [r3, #0x28]
2105                    movs r1, #5
4008                    ands r0, r1
3804                    subs r0, #4
d001                    beq done
3a01                    subs r2, #1
d1f8                    bne again
4770      done:         bx lr
46c0                    nop
40020000  pads:         .word 0x40020000
18000000  ssi:          .word 0x18000000
00070000  serial_bytes: .word 0x00070000
000186a0  turns:        .word 100000
001f0300  serial_words: .word 0x001f0300
03000218  serial_read:  .word 0x03000218
005f0300  quad_words:   .word 0x005f0300
00002221  quad_first:   .word 0x00002221
a0002022  quad_read:    .word 0xa0002022
10000100  image:        .word 0x10000100
e000ed08  vtor:         .word 0xe000ed08
"""
"""Machine code and what it says. At the start r0 is the pads of the flash's pins; then r3 is the
SSI, r5 holds 0, r6 holds 1, and r7 the offset of the sampling delay, later of the SPI control."""


def boot_code() -> bytes:
    """Reads the machine code.

    Returns:
        The code, without padding and checksum.

    Example:
        >>> len(boot_code())
        248
    """
    words = [word for line in PROGRAM.split("\n") for word in line[:9].split()]
    return b"".join(bytes.fromhex(word)[::-1] for word in words)


def boot_crc(code: bytes) -> int:
    """Computes the boot ROM's checksum: CRC-32, the highest bit first, no final xor.

    Args:
        code: The 252 bytes that it covers.

    Returns:
        The checksum.

    Example:
        >>> hex(boot_crc(b"123456789"))
        '0x376e6e7'
    """
    crc = 0xFFFFFFFF
    for byte in code:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (BOOT_CRC_POLYNOMIAL if crc >> 31 else 0)
            crc &= 0xFFFFFFFF
    return crc


def boot_source() -> str:
    """Renders the C source with the padded code and its checksum.

    Returns:
        The text of `boot2.c`.

    Example:
        >>> boot_source().count("0x")
        64
    """
    code = boot_code().ljust(BOOT_BYTES - 4, b"\0")
    code += boot_crc(code).to_bytes(4, "little")
    words = [int.from_bytes(code[at : at + 4], "little") for at in range(0, BOOT_BYTES, 4)]
    lines = [
        "    " + " ".join(f"0x{word:08x}," for word in words[at : at + 6])
        for at in range(0, len(words), 6)
    ]
    head = (
        "/* The second stage of the RP2040's boot, as machine code: it makes the flash readable\n"
        " * in quad mode. The last word is the checksum that the boot ROM asks for. */\n"
        "#include <stdint.h>\n\n"
        '__attribute__((section(".boot"), used)) static const uint32_t boot[64] = {\n'
    )
    return head + "\n".join(lines) + "\n};\n"
