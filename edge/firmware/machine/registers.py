"""Peripherals as an image sees them: registers that remember, some with a will of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

PAGE = 0x1000


class AccessError(Exception):
    """An access to an address where the board has nothing.

    Args:
        address: The address.
        is_write: Whether it was written.
    """

    def __init__(self, address: int, is_write: bool):
        super().__init__(f"{'write to' if is_write else 'read of'} 0x{address:08x}")
        self.address = address
        self.is_write = is_write


class Registers:
    """A peripheral's registers, 32 bits each, which keep what is written.

    Args:
        name: The name in the reference manual.
        base: The address of the first register.
        size: How much of the address space they take, in bytes.
        reset: What registers hold out of reset, by their offsets; the others hold 0.

    Attributes:
        name: The name in the reference manual.
        base: The address of the first register.
        bytes: How much of the address space they take.
        values: What each register holds, by its offset; 0 where none was written.
        reads: What a register gives when it is read, by its offset; it is asked each time.
        writes: What happens when a register is written, by its offset: called with the old and the
            new value, it returns the value to keep.
        is_clocked: Tells whether the peripheral's clock runs; asked at each access.
    """

    def __init__(
        self, name: str, base: int, size: int = 0x400, *, reset: dict[int, int] | None = None
    ):
        self.name = name
        self.base = base
        self.bytes = size
        self.values: dict[int, int] = dict(reset or {})
        self.reads: dict[int, Callable[[], int]] = {}
        self.writes: dict[int, Callable[[int, int], int]] = {}
        self.is_clocked: Callable[[], bool] = lambda: True

    def __getitem__(self, offset: int) -> int:
        return self.values.get(offset, 0)

    def __setitem__(self, offset: int, value: int) -> None:
        self.values[offset] = value & 0xFFFFFFFF

    def field(self, offset: int, low: int, width: int = 1) -> int:
        """Reads some bits of a register, without an access.

        Args:
            offset: The register's offset.
            low: The lowest bit.
            width: The number of bits.

        Returns:
            The bits, as a number.

        Example:
            >>> Registers("RCC", 0x40023800, reset={0: 0x83}).field(0, 4, 4)
            8
        """
        return self[offset] >> low & ((1 << width) - 1)

    def read(self, offset: int) -> int:
        """Reads a register as an image does.

        Args:
            offset: The register's offset.

        Returns:
            Its value.

        Example:
            >>> Registers("RCC", 0x40023800, reset={0: 0x83}).read(0)
            131
        """
        return self.reads[offset]() & 0xFFFFFFFF if offset in self.reads else self[offset]

    def write(self, offset: int, value: int) -> None:
        """Writes a register as an image does.

        Args:
            offset: The register's offset.
            value: The value.

        Example:
            >>> gpio = Registers("GPIOA", 0x40020000)
            >>> gpio.write(0x14, 32)
            >>> gpio.field(0x14, 5)
            1
        """
        keep = self.writes.get(offset)
        self[offset] = value if keep is None else keep(self[offset], value)

    def make_ready(self, status: int, bits: dict[int, Callable[[], bool]], after: int = 3) -> None:
        """Lets bits of a register follow what they tell of, some reads late.

        Args:
            status: The offset of the register with the bits.
            bits: Whether the thing is on, by the bit that tells that it is ready.
            after: How many reads of the register it takes.

        Example:
            >>> rcc = Registers("RCC", 0x40023800, reset={0: 1 << 24})
            >>> rcc.make_ready(0, {25: lambda: bool(rcc.field(0, 24))}, after=2)
            >>> [rcc.read(0) >> 25 for _ in range(3)]
            [0, 1, 1]
        """
        seen = dict.fromkeys(bits, 0)

        def read() -> int:
            for bit, is_on in bits.items():
                seen[bit] = seen[bit] + 1 if is_on() else 0
                ready = seen[bit] >= after
                self[status] = self[status] & ~(1 << bit) | ready << bit
            return self[status]

        self.reads[status] = read

        def keep(kept: Callable[[int, int], int] | None, old: int, new: int) -> int:
            mask = sum(1 << bit for bit in bits)
            new = new & ~mask | old & mask
            new = new if kept is None else kept(old, new)
            self[status] = new
            # What is switched off is not ready from that moment.
            for bit, is_on in bits.items():
                if not is_on():
                    seen[bit] = 0
                    new &= ~(1 << bit)
            return new

        before = self.writes.get(status)
        self.writes[status] = lambda old, new: keep(before, old, new)


class Bus:
    """All peripherals of a board, by their addresses.

    Args:
        blocks: The peripherals.
        complain: Called with one sentence about an access to a peripheral whose clock is off.
    """

    def __init__(self, blocks: Iterable[Registers], complain: Callable[[str], None]):
        self._complain = complain
        self._found: dict[int, Registers] = {}
        self._blocks: dict[int, list[Registers]] = {}
        for block in blocks:
            for page in range(block.base // PAGE, (block.base + block.bytes - 1) // PAGE + 1):
                self._blocks.setdefault(page, []).append(block)

    @property
    def pages(self) -> list[int]:
        """The addresses of all pages on which there is a peripheral."""
        return [page * PAGE for page in sorted(self._blocks)]

    def read(self, address: int, size: int) -> int:
        """Reads one, two or four bytes.

        Args:
            address: The address of the first byte.
            size: How many.

        Returns:
            The bytes, as a number.

        Raises:
            AccessError: If there is no peripheral.

        Example:
            >>> Bus([Registers("A", 0x40000000, reset={4: 0x1234})], print).read(0x40000005, 1)
            18
        """
        block = self._find(address, is_write=False)
        offset = address - block.base
        word = block.read(offset & ~3)
        return word >> 8 * (offset & 3) & ((1 << 8 * size) - 1)

    def write(self, address: int, size: int, value: int) -> None:
        """Writes one, two or four bytes.

        Args:
            address: The address of the first byte.
            size: How many.
            value: The bytes, as a number.

        Raises:
            AccessError: If there is no peripheral.

        Example:
            >>> gpio = Registers("GPIOA", 0x40020000)
            >>> Bus([gpio], print).write(0x40020016, 2, 0x8000)
            >>> hex(gpio[0x14])
            '0x80000000'
        """
        block = self._find(address, is_write=True)
        offset = address - block.base
        if size < 4:
            shift, mask = 8 * (offset & 3), (1 << 8 * size) - 1
            value = block[offset & ~3] & ~(mask << shift) | (value & mask) << shift
        block.write(offset & ~3, value)

    def _find(self, address: int, *, is_write: bool) -> Registers:
        block = self._found.get(address)
        if block is None:
            for block in self._blocks.get(address // PAGE, ()):
                if block.base <= address < block.base + block.bytes:
                    break
            else:
                raise AccessError(address, is_write)
            self._found[address] = block
        if not block.is_clocked():
            verb = "written" if is_write else "read"
            self._complain(f"{block.name} is {verb} while its clock is off")
        return block
