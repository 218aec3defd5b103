"""The instructions of a firmware, as far as their time depends on what they are."""

from __future__ import annotations

import dataclasses
import pathlib
import re

from edge.errors import EdgeError
from edge.firmware.build import require_tool
from edge.system.subprocesses import run_tool

CONDITIONS = "eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|hs|lo"
REGISTER = re.compile(r"\b(?:r\d+|sp|lr|pc|ip|fp|sl|q\d|[sd]\d+)\b")
LINE = re.compile(r"^\s*([0-9a-f]+):\t([0-9a-f ]+?)\s*\t(\S+)(?:\t(.*))?$")

KINDS = (
    ("vector load", r"vldr\w*|vld[24]\w*|vldm\w*|vpop|ldc2?l?"),
    ("vector store", r"vstr\w*|vst[24]\w*|vstm\w*|vpush|stc2?l?"),
    # What gcc's disassembler does not know of Helium are coprocessors' operations to it.
    ("vector", r"v[a-z]\w*|cdp2?"),
    ("loop", r"letp|le|wlstp|dlstp|wls|dls|lctp"),
    ("table", r"tbb|tbh"),
    ("call", rf"bl|blx|bx(?:{CONDITIONS})?"),
    ("branch", rf"b(?:{CONDITIONS})?|cbz|cbnz"),
    ("loads", r"ldm\w*|pop(?:\w\w)?|ldrd(?:\w\w)?"),
    ("stores", r"stm\w*|push(?:\w\w)?|strd(?:\w\w)?"),
    ("load", r"ldr\w*"),
    ("store", r"str\w*"),
    ("it", r"it[te]{0,3}"),
    ("long", rf"(?:[us]mull|[us]mlal|umaal)s?(?:{CONDITIONS})?"),
    ("divide", r"[us]div(?:\w\w)?"),
    ("multiply", rf"(?:mul|mla|mls)s?(?:{CONDITIONS})?|sm[a-z]+"),
    (
        "bits",
        r"(?:[us]xt|[us]bfx|bf[ic]|pkh|[us]?q?add(?:8|16)|[us]?q?sub(?:8|16)|clz|re?v|rbit|[us]sat"
        r"|q[d]?(?:add|sub)|sel)\w*",
    ),
)
SOURCES_ONLY = re.compile(rf"(?:cmp|cmn|tst|teq|cbz|cbnz|nop|it[te]*)(?:{CONDITIONS})?")
ACCUMULATES = re.compile(r"bf[ic]|movt|umaal|[us]mlal|smlal|vml|vrml|vqrdml|vqdml|vfma|cdp")
TWO_OPERANDS_KEEP = re.compile(r"mov|mvn|[us]xt|clz|re?v|rbit|ldr|neg|v|adr|[dw]ls")


class InstructionError(EdgeError):
    """The firmware has an instruction that the disassembler does not know."""


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        address: Its address.
        bytes: Its size, 2 or 4.
        name: Its name, without `.n` and `.w`.
        kind: What it does: one of the words in `KINDS`, or `"alu"`.
        reads: The registers that it reads.
        addresses: Those of them that make an address.
        writes: The registers that it writes.
        accumulator: A register that is added to: a multiplier's, needed later than the others.
        count: The registers that a multiple load or store moves, otherwise 1.
        is_indexed: Whether its address is the sum of two registers.
        is_shifted: Whether it shifts an operand before it uses it.
        writes_pc: Whether it jumps by writing the program counter.
    """

    address: int
    bytes: int
    name: str
    kind: str
    reads: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    accumulator: str = ""
    count: int = 1
    is_indexed: bool = False
    is_shifted: bool = False
    writes_pc: bool = False

    @property
    def is_memory(self) -> bool:
        """Whether it loads or stores."""
        return self.kind in ("load", "store", "loads", "stores", "vector load", "vector store")


def decode(address: int, size: int, name: str, operands: str) -> Instruction:
    """Reads one line of a disassembly.

    Args:
        address: The address of the instruction.
        size: Its bytes.
        name: The mnemonic, such as `"add.w"`.
        operands: The operands, such as `"r0, r1, r2, lsl #2"`.

    Returns:
        The `Instruction`.

    Example:
        >>> found = decode(0x40, 4, "smlad", "r0, r1, r2, r0")
        >>> found.kind, sorted(found.reads), sorted(found.writes)
        ('multiply', ['r0', 'r1', 'r2'], ['r0'])
    """
    name = re.sub(r"\.(?:n|w)$", "", name)
    text = re.split(r"[@;<]", operands)[0].strip()
    kind = next((kind for kind, form in KINDS if re.fullmatch(form, name.split(".")[0])), "alu")
    inside = re.search(r"\[(.*?)\]", text)
    addresses = frozenset(REGISTER.findall(inside[1])) if inside else frozenset()
    parts = [part.strip() for part in re.sub(r"\[.*?\]!?|\{.*?\}", "", text).split(",")]
    plain = [found for part in parts for found in REGISTER.findall(part)]
    listed = _listed(text)
    writes: set[str] = set()
    reads = set(plain) | addresses
    is_store = kind in ("store", "stores", "vector store")
    if inside and ("]!" in text or re.search(r"\],\s*\S", text)):
        writes.update(REGISTER.findall(inside[1])[:1])
    if listed:
        is_stack = name.startswith(("push", "pop", "vpush", "vpop"))
        base = "sp" if is_stack else plain[0]
        addresses, reads = frozenset({base}), {base}
        if "!" in text or base == "sp":
            writes.add(base)
        reads |= set(listed) if is_store else set()
        writes |= set() if is_store else set(listed)
    elif (
        not is_store
        and plain
        and not SOURCES_ONLY.fullmatch(name)
        and kind not in ("branch", "call")
    ):
        many = 2 if kind in ("long", "loads") or re.match(r"smlal|smlsl", name) else 1
        made = set(plain[:many])
        writes |= made
        is_kept = len(plain) == 2 and len(parts) == 2 and not TWO_OPERANDS_KEEP.match(name)
        is_alone = len(plain) == 1 and len(parts) == 2 and not TWO_OPERANDS_KEEP.match(name)
        if not (is_kept or is_alone or ACCUMULATES.match(name)):
            reads = set(plain[many:]) | addresses
    count = len(listed) if listed else 2 if kind in ("loads", "stores") else 1
    return Instruction(
        address=address,
        bytes=size,
        name=name,
        kind=kind,
        reads=frozenset(reads),
        addresses=addresses,
        writes=frozenset(writes),
        accumulator=_accumulator(name, kind, plain),
        count=count,
        is_indexed=inside is not None and len(REGISTER.findall(inside[1])) > 1,
        is_shifted=inside is None and bool(re.match(r"lsl|lsr|asr|ror|rrx", parts[-1])),
        writes_pc="pc" in writes or kind in ("call", "table"),
    )


def _accumulator(name: str, kind: str, plain: list[str]) -> str:
    is_sum = kind == "multiply" and len(plain) == 4
    return plain[3] if is_sum else ""


def _listed(text: str) -> list[str]:
    braces = re.search(r"\{(.*)\}", text)
    if braces is None or "[" in text:
        return []
    found: list[str] = []
    for part in braces[1].split(","):
        ends = re.fullmatch(r"\s*([a-z]+)(\d+)-[a-z]+(\d+)\s*", part)
        if ends:
            found += [f"{ends[1]}{n}" for n in range(int(ends[2]), int(ends[3]) + 1)]
        else:
            found += REGISTER.findall(part)
    return found


def disassemble(elf: pathlib.Path, core: str) -> dict[int, Instruction]:
    """Reads all instructions of a firmware.

    Args:
        elf: The path of the linked image.
        core: The name of the core for gcc's `-mcpu`.

    Returns:
        The instructions by their addresses.

    Raises:
        MissingToolError: If the Arm compiler's tools are not installed.
        InstructionError: If the disassembler fails.

    Example:
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "mps2-an386", "firmware").firmware.elf
        >>> len(disassemble(elf, "cortex-m4")) > 1000
        True
    """
    require_tool("arm-none-eabi-objdump")
    command = ["arm-none-eabi-objdump", "-d", "-j", ".text"]
    if core == "cortex-m55":
        # The image does not say that it has Helium, and its instructions would be coprocessors'.
        command += ["-m", "armv8.1-m.main"]
    done = run_tool([*command, str(elf)], text=True, errors="replace")
    if done.returncode != 0:
        raise InstructionError(f"arm-none-eabi-objdump failed: {done.stderr.strip()[:200]}")
    found = {}
    for line in done.stdout.splitlines():
        match = LINE.match(line)
        if match and not match[3].startswith("."):
            address, digits = int(match[1], 16), match[2].replace(" ", "")
            found[address] = decode(address, len(digits) // 2, match[3], match[4] or "")
    return found


def functions(elf: pathlib.Path) -> dict[int, str]:
    """Reads the names of a firmware's functions.

    Args:
        elf: The path of the linked image.

    Returns:
        The names by their addresses, without the digest that tells a model's or a version's from
        another's.

    Raises:
        MissingToolError: If the Arm compiler's tools are not installed.

    Example:
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "mps2-an386", "firmware").firmware.elf
        >>> "model_push_row" in functions(elf).values()
        True
    """
    require_tool("arm-none-eabi-nm")
    listing = run_tool(["arm-none-eabi-nm", str(elf)], text=True, errors="replace").stdout
    found = re.findall(r"^([0-9a-f]+) [tTwW] (\w+?)(?:_[0-9a-f]{8})?$", listing, re.M)
    return {int(address, 16): name for address, name in found}
