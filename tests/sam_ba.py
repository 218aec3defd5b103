"""A pseudo-terminal that speaks SAM-BA as the boot loader of a SAMD21 does."""

from __future__ import annotations

import os
import pathlib
import pty
import re
import select
import threading
import tty

CPUID, CORTEX_M0PLUS = 0xE000ED00, 0x410CC601
DEVICE_ID, SAMD21G18A = 0x41002018, 0x10010305
VERSION = b"v2.0 [Arduino:XYZ] Mar 19 2016 14:55:00\n\r"
RAM = 0x20000000
COMMAND = re.compile(rb"([A-Za-z])([0-9A-Fa-f]*)(?:,([0-9A-Fa-f]*))?#")


class SamBa:
    """The boot loader of a SAMD21G18A, or of what another device id says, behind a port."""

    def __init__(self, folder: pathlib.Path, device_id: int = SAMD21G18A):
        self.words = {CPUID: CORTEX_M0PLUS, DEVICE_ID: device_id}
        self.memory = bytearray(b"\x5a" * (1 << 18))
        self.ram = bytearray(1 << 15)
        self.source = 0
        self.seen = ""
        self._host, device = pty.openpty()
        tty.setraw(device)
        self._device = device
        # bossac takes what is named so for a USB port, which sends bytes as they are.
        self.port = folder / "ttyACM0"
        self.port.symlink_to(os.ttyname(device))
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        os.write(self._stop, b"x")
        self._thread.join()
        for each in (self._host, self._device, self._end, self._stop):
            os.close(each)

    def _read(self):
        ready, _, _ = select.select([self._host, self._end], [], [])
        return b"" if self._end in ready else os.read(self._host, 4096)

    def _serve(self):
        waiting = b""
        while part := self._read():
            waiting += part
            while found := COMMAND.search(waiting):
                name, first, second = found[1].decode(), int(found[2] or b"0", 16), found[3]
                waiting = waiting[found.end() :]
                self.seen += name
                if name == "S":
                    count = int(second, 16)
                    while len(waiting) < count and (part := self._read()):
                        waiting += part
                    at = first & 0x7FFF
                    self.ram[at : at + count], waiting = waiting[:count], waiting[count:]
                else:
                    os.write(self._host, self._answer(name, first, second))

    def _answer(self, name: str, first: int, second: bytes | None) -> bytes:
        if name == "N":
            return b"\n\r"
        if name == "V":
            return VERSION
        if name == "w":
            return self.words.get(first, 0).to_bytes(4, "little")
        if name == "o":
            return self.words.get(first, 0).to_bytes(4, "little")[:1]
        if name == "R":
            place = self.ram if first >= RAM else self.memory
            at = first & 0x7FFF if first >= RAM else first
            return bytes(place[at : at + int(second or b"0", 16)])
        if name == "X":
            self.memory[first:] = b"\xff" * (len(self.memory) - first)
            return b"X\n\r"
        if name == "Y":
            count = int(second or b"0", 16)
            if count == 0:
                self.source = first & 0x7FFF
            else:
                self.memory[first : first + count] = self.ram[self.source : self.source + count]
            return b"Y\n\r"
        if name == "Z":
            data = self.memory[first : first + int(second or b"0", 16)]
            return b"Z%08X#\n\r" % crc16(data)
        return b""


def crc16(data: bytes) -> int:
    """The XMODEM checksum, bit by bit."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ (0x1021 if value & 0x8000 else 0)
            value &= 0xFFFF
    return value
