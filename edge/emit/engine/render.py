"""Renders the engine for a model: plain C11, text in memory, nothing is written here."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

from edge.emit.c_text import DEFAULT_NAME, named, template
from edge.emit.real_numbers import real_numbers
from edge.engine.compile import Engine
from edge.engine.network import Layer, Network
from edge.engine.program import Program, program_of
from edge.engine.stream_plan import Keep, StreamPlan
from edge.tflite.requantization import activation_range, zero_point_of

KERNEL_FOLDER = pathlib.Path(__file__).parent / "kernels"
BANNER = "Written by keras-mobilenet; do not edit."
TEMPLATES = ("model.h", "model.c", "model_weights.h", "model_weights.c")
INCLUDE = r'^#include "(.+)"$'
WORD = 4
WORDS_PER_LINE = 8
STEPS_PER_LINE = 16

CONDITIONS = {
    "mve": "defined(__ARM_FEATURE_MVE)",
    # Larger Arm cores have these instructions too, with other rules for their registers.
    "dsp": "defined(__ARM_FEATURE_DSP) && (__ARM_ARCH_PROFILE == 'M')",
}
"""What a compiler defines for a core with an instruction set, the best one first."""


def render_engine(engine: Engine, name: str = DEFAULT_NAME) -> dict[str, str]:
    """Renders all source files of an engine.

    Args:
        engine: The engine.
        name: The name of the model, which all names that a program sees begin with, in small
            letters, digits and underscores.

    Returns:
        Text by file name. The kernels are the same for all models, and bear no model's name.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> sorted(render_engine(compile_engine(graph, "dsp")))[:4]
        ['add_dsp.c', 'conv_dsp.c', 'conv_dsp_tiles.h', 'depthwise_dsp.c']
    """
    shared = {"choices": [_choice(engine, "")], "guard": "", "digest": engines_digest([engine])}
    values = _values(engine, name) | shared
    files = {
        named(file, name): template("edge.emit.engine", file, name).render(values)
        for file in TEMPLATES
    }
    return files | _kernel_texts([engine])


def render_engines(engines: Mapping[str, Engine], name: str = DEFAULT_NAME) -> dict[str, str]:
    """Renders one model for several instruction sets: the compiler's target chooses among them.

    Args:
        engines: The engines by instruction set; `"portable"` is for all cores that are left.
        name: The name of the model, in small letters, digits and underscores.

    Returns:
        Text by file name.

    Example:
        >>> from edge.engine.compile import compile_engines
        >>> engines = compile_engines(graph, ("portable", "dsp"))
        >>> sorted(render_engines(engines).keys() - render_engine(engines["dsp"]).keys())[5:]
        ['model_dsp.c', 'model_portable.c', 'model_weights_dsp.c', 'model_weights_portable.c']
    """
    if len(engines) == 1:
        (engine,) = engines.values()
        return render_engine(engine, name)
    ordered = [key for key in CONDITIONS if key in engines] + ["portable"]
    choices = [_choice(engines[key], key) for key in ordered]
    shared = {"choices": choices, "digest": engines_digest(engines.values())}
    files = {}
    for key in ordered:
        values = _values(engines[key], name) | shared
        values["guard"] = named(f"MODEL_KERNELS_{key.upper()}", name)
        for part in ("model", "model_weights"):
            source = template("edge.emit.engine", f"{part}.c", name).render(values)
            header = template("edge.emit.engine", f"{part}.h", name).render(values)
            files[named(f"{part}_{key}.c", name)] = source
            files[named(f"{part}.h", name)] = header
    for file, text in _kernel_texts(engines.values()).items():
        owner = next((key for key in CONDITIONS if file.endswith(f"_{key}.c")), None)
        files[file] = text if owner is None else _for_core(owner, ordered, text)
    return files


def _for_core(owner: str, ordered: Sequence[str], text: str) -> str:
    """Kernels for the cores that choose them only: those that no better choice takes.

    The file names no model, so that it is the same in all packages.
    """
    better = [f"!({CONDITIONS[key]})" for key in ordered[: ordered.index(owner)]]
    condition = " && ".join([*better, CONDITIONS[owner]])
    return f"#if {condition}\n{text}#endif\n"


def _kernel_texts(engines: Iterable[Engine]) -> dict[str, str]:
    kernels = sorted({kernel.source for engine in engines for kernel in engine.kernels})
    texts: dict[str, str] = {}
    waiting = kernels
    while waiting:
        texts |= {name: (KERNEL_FOLDER / name).read_text("utf-8") for name in waiting}
        included = {name for text in texts.values() for name in re.findall(INCLUDE, text, re.M)}
        waiting = sorted(included - texts.keys())
    return texts | {"engine.h": _versioned_header()}


@functools.cache
def _versioned_header() -> str:
    """`engine.h` with the kernels' version in their symbols: others' of the name do not link."""
    version = kernel_version()
    text = (KERNEL_FOLDER / "engine.h").read_text("utf-8")
    functions = re.findall(r"^void (engine_\w+)\(", text, re.M)
    lines = [
        "/* Models of one program share the kernels, if they were written by the same version of",
        " * keras-mobilenet: the version is in the names that the linker sees. */",
        f"#define ENGINE_VERSION 0x{version}U",
        *(f"#define {function} {function}_{version}" for function in functions),
    ]
    guard = "#define ENGINE_H_\n"
    return text.replace(guard, guard + "\n" + "\n".join(lines) + "\n", 1)


@functools.cache
def kernel_version() -> str:
    """What tells the kernels of one version of keras-mobilenet from those of another.

    Returns:
        Eight hexadecimal digits, which any change of a kernel changes.

    Example:
        >>> len(kernel_version())
        8
    """
    content = b"\0".join(path.read_bytes() for path in sorted(KERNEL_FOLDER.glob("*.[ch]")))
    return hashlib.sha256(content).hexdigest()[:8]


def engines_digest(engines: Iterable[Engine]) -> str:
    """What tells a compiled model from another one, which may have its name.

    Args:
        engines: The engines of a model, in any order.

    Returns:
        Eight hexadecimal digits, which any change of state, schedule or weights changes.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> plain, fast = (compile_engine(graph, each) for each in ("portable", "dsp"))
        >>> engines_digest([plain]) == engines_digest([fast])
        False
    """
    each = sorted(
        hashlib.sha256(repr(_values(engine, DEFAULT_NAME)).encode()).digest() for engine in engines
    )
    return hashlib.sha256(b"".join(each)).hexdigest()[:8]


def _choice(engine: Engine, name: str) -> dict[str, object]:
    return {
        "name": name,
        "condition": CONDITIONS.get(name),
        "memory_bytes": engine.plan.memory_bytes,
        "tensors": len(engine.plan.stores),
        "weights_bytes": engine.weights_bytes,
    }


def _values(engine: Engine, name: str) -> dict[str, object]:
    network, plan, graph = engine.network, engine.plan, engine.network.graph
    numbers = {tensor: n for n, tensor in enumerate(plan.stores)}
    program = program_of(plan)
    calls = sorted({(kernel.name, kernel.arguments) for kernel in engine.kernels})
    scratch = {
        index: at
        for segment, at in zip(plan.segments, plan.scratch_offset, strict=True)
        for index in range(*segment.layers)
    }
    return {
        "banner": BANNER,
        "kernel_version": kernel_version(),
        "sha256": graph.file_sha256,
        "macs": f"{graph.total_macs():,}",
        "layer_count": len(network.layers),
        "input": network.rows[network.input],
        "output": network.rows[network.output],
        "real_numbers": real_numbers(graph, name),
        "memory_bytes": plan.memory_bytes,
        "weights_bytes": engine.weights_bytes,
        "crc32": f"0x{zlib.crc32(engine.weights.tobytes()):08X}",
        "weight_lines": _lines([f"0x{word:08x}," for word in engine.weights], WORDS_PER_LINE),
        **_tensor_values(network, plan),
        "input_number": numbers[network.input],
        "output_number": numbers[network.output],
        "kernel_names": [name for name, _ in calls],
        "kernel_calls": calls,
        "uses_scratch": any("scratch" in arguments for _, arguments in calls),
        "uses_other": any("other" in arguments for _, arguments in calls),
        "layers": [
            {
                "comment": f"{layer.index}: {layer.op.opcode}",
                "shape": _shape(network, layer),
                "weights_word": engine.first_words[layer.index],
                "kernel": kernel.name,
                "input": numbers[layer.inputs[0]],
                "other": numbers[layer.inputs[-1]],
                "output": numbers[layer.output],
                "scratch": scratch[layer.index] // WORD,
            }
            for layer, kernel in zip(network.layers, engine.kernels, strict=True)
        ],
        "has_keeps": any(isinstance(step, Keep) for step in plan.steps),
        "program": program,
        "step_type": "uint8_t" if program.is_in_bytes else "uint16_t",
        "program_lines": _program_lines(program),
    }


def _tensor_values(network: Network, plan: StreamPlan) -> dict[str, object]:
    """The table of the tensors, and the narrowest types that hold its numbers."""
    # No tensor begins at the largest number: it stands for none.
    places = 16 if plan.memory_bytes // WORD < 2**16 - 1 else 32
    longest = max(network.rows[tensor].row_bytes for tensor in plan.stores)
    return {
        "place_type": f"uint{places}_t",
        "no_head": f"0x{2**places - 1:X}",
        "length_type": "uint16_t" if longest < 2**16 else "uint32_t",
        "number_type": "uint8_t" if len(plan.stores) <= 2**8 else "uint16_t",
        "tensors": [
            {
                "ring": store.offset // WORD,
                "head": "NO_HEAD" if store.head_offset is None else f"{store.head_offset // WORD}U",
                "row_bytes": network.rows[tensor].row_bytes,
                "slots": store.slots,
            }
            for tensor, store in plan.stores.items()
        ],
    }


def _program_lines(program: Program) -> list[str]:
    named_numbers = {program.wait: "AWAIT", program.end: "END"}
    numbers = [f"{named_numbers.get(number, number)}," for number in program.numbers]
    return _lines(numbers, STEPS_PER_LINE)


def _shape(network: Network, layer: Layer) -> list[int]:
    graph, rows = network.graph, network.rows
    source, output = rows[layer.inputs[0]], rows[layer.output]
    low, high = activation_range(layer.op, graph.tensors[layer.output])
    return [
        *(source.height, source.width, source.channels, output.width, output.channels),
        *layer.window,
        *layer.stride,
        *layer.dilation,
        *layer.pad,
        zero_point_of(graph.tensors[layer.op.inputs[0]]),
        zero_point_of(graph.tensors[layer.output]),
        low,
        high,
    ]


def _lines(items: Sequence[str], per_line: int) -> list[str]:
    return [" ".join(items[at : at + per_line]) for at in range(0, len(items), per_line)]
