"""Fakes of tools and probes: scripts that answer as the real ones do, found before them."""

import pathlib
import sys

import pytest

from edge.firmware.flash import find_tool

OPENOCD = """
words = " ".join(args)
if "mdw" in words:
    print("0x%08x: %08x " % (int(re.search(r"mdw (0x\\w+)", words)[1], 16), CHIP), file=sys.stderr)
elif "program" in words:
    print("** Programming Started **\\n** Verified OK **\\n** Resetting Target **", file=sys.stderr)
"""
PYOCD = """
if args[0] == "json":
    what = {"targets": [{"name": TARGET}]}
    if "--probes" in args:
        what = {"boards": [{"unique_id": "0669FF", "target": TARGET}]}
    print(json.dumps(what))
elif "read32" in args[-1]:
    print("%08x:  %08x    |d..!|" % (int(args[-1].split()[1], 16), CHIP))
elif args[0] == "flash":
    print("[---|---|---|---|---|---|---|---|---|----]\\n[" + "=" * 40 + "]")
else:
    print("Comparing 300 bytes @ 0x08000000\\nAll 300 bytes match.")
"""
ST_FLASH = """print("Flash page at addr: 0x08000000 erased\\n  1/1 pages written")
print("INFO common.c: Flash written and verified! jolly good!")"""
ST_INFO = """print("Found 1 stlink programmers\\n  version:    V2J37S27\\n  serial:     066AFF")
print("  flash:      524288 (pagesize: 16384)\\n  chipid:     0x%.4x" % CHIP)"""
PROBE_RS = """
if args[0] == "list":
    print("The following debug probes were found:\\n[0]: STLink V2-1 -- 0483:374b:0669FF (ST-LINK)")
elif args[0] == "read":
    print("%08x" % CHIP)
"""
DFU_UTIL = """
if args == ["-l"]:
    print('Found DFU: [%s] ver=0200, devnum=6, cfg=1, intf=0, alt=0, name="@Flash"' % TARGET)
else:
    flash = pathlib.Path(__file__).with_suffix(".flash")
    print("dfu-util 0.11\\n\\nOpening DFU capable USB device...")
    if "-D" in args:
        flash.write_bytes(pathlib.Path(args[-1]).read_bytes())
        print("Download\\t[=========================] 100%  300 bytes\\nDownload done.")
    else:
        pathlib.Path(args[-1]).write_bytes(flash.read_bytes())
        print("Upload\\t[=========================] 100%  300 bytes")
"""
TEENSY = """print("Teensy Loader, Command Line, Version 2.2\\nProgramming....\\nBooting")"""
BOSSAC = """# ATSAMD21 nRF52840
if "-i" in args:
    print("Device       : %s\\nVersion      : Arduino Bootloader (SAM-BA extended) 2.0" % TARGET)
else:
    print("Write 300 bytes to flash (5 pages)\\n[==============================] 100% (5/5 pages)")
    print("Verify 300 bytes of flash\\nVerify successful\\nDone in 0.01 seconds")
"""
ANSWERS = {
    "openocd": OPENOCD,
    "pyocd": PYOCD,
    "st-flash": ST_FLASH,
    "st-info": ST_INFO,
    "probe-rs": PROBE_RS,
    "dfu-util": DFU_UTIL,
    "teensy_loader_cli": TEENSY,
    "bossac": BOSSAC,
}


class Bench:
    """A desk with fake tools on it: what was run is kept, word by word."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.log = folder / "log"

    def put(self, name, *, chip=0, target="", code=None, exit_code=0):
        """Puts a tool on the desk that answers for a chip, or with code of its own."""
        path = self.folder / name
        head = f"#!{sys.executable} -S\nimport json, pathlib, re, sys\nargs = sys.argv[1:]\n"
        head += f"CHIP, TARGET = {chip}, {target!r}\n"
        head += f"with open({str(self.log)!r}, 'a') as log:\n"
        head += f"    log.write(json.dumps([{name!r}, *args]) + '\\n')\n"
        body = ANSWERS[name] if code is None else code
        path.write_text(f"{head}{body}\nsys.exit({exit_code})\n")
        path.chmod(0o755)
        return path

    def ran(self):
        import json

        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """An empty desk: no real tool is found."""
    folder = tmp_path / "tools"
    folder.mkdir()

    def found(name):
        path = folder / pathlib.Path(name).name
        return [str(path)] if path.is_file() else []

    for module in ("session", "ways", "tools.openocd", "tools.bossac"):
        full = f"edge.firmware.flash.{module}"
        if module == "tools.bossac":
            monkeypatch.setattr(f"{full}.find_tools", found)
        else:
            monkeypatch.setattr(f"{full}.find_tool", lambda name: next(iter(found(name)), None))
    assert find_tool.find_tools("no-such-tool") == []
    return Bench(folder)
