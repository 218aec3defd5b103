"""The drawings of the site, made from the plans that the package itself computes."""

from __future__ import annotations

import html
from collections.abc import Callable

import networks

from edge.engine.layers import network_of
from edge.engine.network import Network
from edge.engine.schedule import plan_stream
from edge.engine.stream_plan import Keep, Make, StreamPlan
from edge.memory.offline_plan import planned_graph
from edge.memory.tflm_arena import predict_arena

INK, FAINT, PALE = "#26323f", "#9aa5b1", "#eceff3"
COLORS = ("#1f7a4d", "#2f6fb3", "#b3612f", "#7b4ea3", "#a38a1f", "#2f97a8")
NAMES = {
    "CONV_2D": "convolution",
    "DEPTHWISE_CONV_2D": "depthwise",
    "AVERAGE_POOL_2D": "average pool",
}


class _Svg:
    """Text of a drawing, piece by piece."""

    def __init__(self, width: float, height: float, title: str):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'role="img" font-family="system-ui, sans-serif" fill="{INK}">',
            f"<title>{html.escape(title)}</title>",
            f'<rect width="{width:g}" height="{height:g}" rx="6" fill="white"/>',
        ]

    def box(self, x, y, width, height, fill, stroke="none", opacity=1.0, dash=""):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5" '
            f'fill="{fill}" stroke="{stroke}" fill-opacity="{opacity:g}"'
            + (f' stroke-dasharray="{dash}"' if dash else "")
            + "/>"
        )

    def text(self, x, y, text, size=12, anchor="start", fill=INK, bold=False):
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{fill}"{weight}>{html.escape(text)}</text>'
        )

    def line(self, x1, y1, x2, y2, stroke=INK, width=1.0, dash="", arrow=False):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
            f'stroke-width="{width:g}"' + (f' stroke-dasharray="{dash}"' if dash else "") + "/>"
        )
        if arrow:
            long = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
            dx, dy = (x2 - x1) / long * 7, (y2 - y1) / long * 7
            points = (
                (x2, y2),
                (x2 - dx - dy / 2, y2 - dy + dx / 2),
                (x2 - dx + dy / 2, y2 - dy - dx / 2),
            )
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            self.parts.append(f'<polygon points="{path}" fill="{stroke}"/>')

    def done(self) -> str:
        return "\n".join([*self.parts, "</svg>\n"])


def _lives(plan: StreamPlan) -> tuple[dict[tuple[int, int], list[int]], int]:
    """(tensor, row) -> [step that makes it, last step that reads it]; and the number of steps."""
    network = plan.network
    lives: dict[tuple[int, int], list[int]] = {}
    made = dict.fromkeys(network.rows, 0)
    now = -1
    for step in plan.steps:
        if isinstance(step, Keep):
            continue
        now += 1
        tensor = network.input
        if isinstance(step, Make):
            layer = network.layers[step.layer]
            tensor = layer.output
            for source in layer.inputs:
                height = network.rows[source].height
                row = made[tensor]
                read = range(max(0, layer.first_row(row, height)), layer.last_row(row, height) + 1)
                for number in read:
                    lives[source, number][1] = now
        lives[tensor, made[tensor]] = [now, now]
        made[tensor] += 1
    for row in range(network.rows[network.output].height):
        lives[network.output, row][1] = now
    return lives, now + 1


def _tensor_name(network: Network, tensor: int) -> str:
    maker = next((layer for layer in network.layers if layer.output == tensor), None)
    if maker is None:
        return "input"
    if maker.op.opcode == "CONV_2D" and maker.window == (1, 1):
        return "pointwise"
    return NAMES[maker.op.opcode]


def schedule() -> str:
    """Every row of a small network over time: when it is made, and until when it is read."""
    plan = plan_stream(network_of(networks.first_blocks_graph()), lambda layer: 0)
    network, cell, left, top = plan.network, 13.0, 158.0, 46.0
    lives, steps = _lives(plan)
    tensors = [network.input, *(layer.output for layer in network.layers)]
    lanes = sum(network.rows[t].height for t in tensors)
    height = top + lanes * cell + 14 * len(tensors) + 30
    svg = _Svg(left + steps * cell + 16, height, "The schedule, row by row")
    svg.text(16, 22, "One step after the other: every row is made once", 14, bold=True)
    svg.text(left, 40, "time: one row per step", 11, fill=FAINT)
    y = top
    for number, tensor in enumerate(tensors):
        rows, color = network.rows[tensor], COLORS[number % len(COLORS)]
        lane = rows.height * cell
        svg.box(left, y, steps * cell, lane, PALE, opacity=0.5)
        svg.text(16, y + 14, _tensor_name(network, tensor), 13, fill=color, bold=True)
        together = max(
            sum(first <= t <= last for (of, _), (first, last) in lives.items() if of == tensor)
            for t in range(steps)
        )
        svg.text(16, y + 30, f"{rows.height} rows of {rows.row_bytes} bytes", 10.5)
        svg.text(16, y + 44, f"at most {together} are alive", 10.5)
        for row in range(rows.height):
            first, last = lives[tensor, row]
            at = y + row * cell
            long = (last - first + 1) * cell
            svg.box(left + first * cell + 0.7, at + 0.7, long - 1.4, cell - 1.4, color, "none", 0.3)
            svg.box(left + first * cell + 0.7, at + 0.7, cell - 1.4, cell - 1.4, color)
        y += lane + 14
    svg.box(16, y + 2, 11, 11, INK)
    svg.text(32, y + 12, "made in this step", 11)
    svg.box(150, y + 2, 33, 11, INK, opacity=0.3)
    svg.text(190, y + 12, "kept, because a later step reads it; then its place is free again", 11)
    return svg.done()


def pyramid() -> str:
    """The first layers of MobileNetV1 at one moment: which rows there are."""
    plan = plan_stream(network_of(networks.mobilenet_v1_graph()), lambda layer: 0)
    network, segment = plan.network, plan.segments[0]
    lives, _ = _lives(plan)
    tensors = [network.input, *(layer.output for layer in network.layers[: segment.layers[1]])]
    moment = lives[network.input, 61][0]
    while not any(lives[tensors[-1], row][0] == moment for row in range(12)):
        moment += 1
    step, left, top = 2.6, 20.0, 76.0
    width = left + 78 * len(tensors) + 6
    svg = _Svg(width, top + 96 * step + 96, "Rows that exist at one moment")
    svg.text(left, 22, "MobileNetV1 0.25 at 96x96, in the middle of an image", 14, bold=True)
    svg.text(left, 40, "Each column is a tensor, each line one of its rows.", 11.5)
    alive_bytes = whole_bytes = 0
    for number, tensor in enumerate(tensors):
        rows, x = network.rows[tensor], left + 78 * number
        color = COLORS[number % len(COLORS)]
        pitch = step * 96 / rows.height
        alive = 0
        for row in range(rows.height):
            first, last = lives[tensor, row]
            is_alive = first <= moment <= last
            alive += is_alive
            svg.box(x, top + row * pitch, 58, pitch - 0.8, color if is_alive else PALE, "none", 1.0)
        alive_bytes += alive * rows.row_bytes
        whole_bytes += rows.bytes
        svg.text(x, top - 10, _tensor_name(network, tensor), 10.5, fill=color, bold=True)
        at = top + 96 * step + 16
        svg.text(x, at, f"{rows.height} rows", 10.5)
        svg.text(x, at + 14, f"{alive} alive", 10.5, bold=True)
    svg.text(
        left,
        top + 96 * step + 60,
        f"Alive: {alive_bytes:,} bytes. The same {len(tensors)} tensors whole: "
        f"{whole_bytes:,} bytes. The last column stays whole: from there on",
        11.5,
    )
    svg.text(
        left, top + 96 * step + 76, "tensors are so small that rings would gain nothing.", 11.5
    )
    return svg.done()


def ring() -> str:
    """A ring of two rows and a place for the new one, in four moments."""
    svg = _Svg(760, 210, "A ring buffer of rows")
    svg.text(16, 24, "A 3x3 layer reads rows 4, 5 and 6; the ring keeps two", 14, bold=True)
    moments = (
        ("row 6 arrives", (4, 5), 6),
        ("output row 5 is made", (4, 5), 6),
        ("row 6 replaces row 4", (6, 5), None),
        ("row 7 arrives", (6, 5), 7),
    )
    for number, (what, slots, head) in enumerate(moments):
        x = 16 + 186 * number
        for slot, row in enumerate(slots):
            is_read = number == 1
            svg.box(x, 60 + 34 * slot, 108, 28, COLORS[0], INK if is_read else "none", 0.55)
            svg.text(x + 54, 79 + 34 * slot, f"row {row}", 12, "middle")
            svg.text(x + 114, 79 + 34 * slot, f"slot {slot}", 10.5, fill=FAINT)
        if head is None:
            svg.box(x, 134, 108, 28, "white", FAINT, dash="3 3")
        else:
            svg.box(x, 134, 108, 28, COLORS[1], INK if number == 1 else "none", 0.55)
            svg.text(x + 54, 153, f"row {head}", 12, "middle")
        svg.text(x + 114, 153, "new row", 10.5, fill=FAINT)
        svg.text(x, 190, f"{number + 1}. {what}", 10.5)
    svg.line(16 + 186 * 2 + 54, 134, 16 + 186 * 2 + 54, 90, COLORS[1], 1.5, arrow=True)
    return svg.done()


def plans() -> str:
    """The person detector's tensors in the arena: greedy, best, and best with overlap."""
    graph = networks.mobilenet_v1_graph()
    whole, overlap = planned_graph(graph), planned_graph(graph, may_overlap=True)
    greedy = predict_arena(graph)
    panels = (
        ("TFLite Micro's greedy plan", greedy.buffers, greedy.offsets, whole.greedy_bytes),
        ("the best plan", whole.plan.buffers, whole.plan.offsets, whole.planned_bytes),
        (
            "outputs reach into inputs",
            overlap.plan.buffers,
            overlap.plan.offsets,
            overlap.planned_bytes,
        ),
    )
    last = 14
    svg = _Svg(780, 356, "Three memory plans of one network")
    svg.text(16, 24, "MobileNetV1 0.25 at 96x96: tensors (boxes) over time", 14, bold=True)
    scale, bottom = 240 / whole.greedy_bytes, 310.0
    for number, (title, buffers, offsets, peak) in enumerate(panels):
        x, unit = 16 + 255 * number, 230 / (last + 1)
        svg.box(x, bottom - whole.greedy_bytes * scale, 230, whole.greedy_bytes * scale, PALE)
        for buffer, offset in zip(buffers, offsets, strict=True):
            if buffer.first > last or buffer.tensor is None:
                continue
            end = min(buffer.last, last)
            svg.box(
                x + buffer.first * unit + 0.5,
                bottom - (offset + buffer.bytes) * scale,
                (end - buffer.first + 1) * unit - 1,
                buffer.bytes * scale,
                COLORS[buffer.first % len(COLORS)],
                "white",
                0.75,
            )
        svg.line(x, bottom - peak * scale, x + 230, bottom - peak * scale, "#b3261e", 1.5, "4 3")
        svg.text(x, 46, title, 12, bold=True)
        svg.text(x, 61, f"{peak:,} bytes", 12, fill="#b3261e")
        svg.line(x, bottom, x + 230, bottom)
        svg.text(x, bottom + 16, f"time: operators 0 to {last - 1}", 10.5, fill=FAINT)
    svg.text(16, bottom + 38, "Height is bytes; the dashed line is what the arena needs.", 11.5)
    return svg.done()


def grid() -> str:
    """Real numbers on the int8 grid."""
    svg = _Svg(760, 150, "Real numbers on an int8 grid")
    scale, zero_point, left, right = 6.0 / 255, -128, 40.0, 720.0

    def x_of(q: int) -> float:
        return left + (right - left) * (q + 128) / 255

    svg.text(16, 24, "ReLU6: 0 to 6 in 256 steps, scale 6/255, zero point -128", 14, bold=True)
    svg.line(left, 80, right, 80, INK, 1.5)
    for q in range(-128, 128, 3):
        svg.line(x_of(q), 76, x_of(q), 84, FAINT)
    for q in (-128, -64, 0, 64, 127):
        svg.line(x_of(q), 70, x_of(q), 90, INK, 1.5)
        svg.text(x_of(q), 62, f"{scale * (q - zero_point):.3f}", 12, "middle", COLORS[1])
        svg.text(x_of(q), 108, str(q), 12, "middle", COLORS[0], bold=True)
    svg.text(16, 136, "above: the real number", 11.5, fill=COLORS[1])
    svg.text(160, 136, "below: the int8 that stands for it", 11.5, fill=COLORS[0])
    return svg.done()


def constant_channels() -> str:
    """A channel without weights, and where its value goes."""
    svg = _Svg(760, 214, "Constant channels are folded into biases")
    svg.text(
        16, 24, "A channel whose weights are all zero is a number, not an image", 14, bold=True
    )
    for side, x0 in enumerate((16, 412)):
        title = "as trained: 4 channels" if side == 0 else "as the engine runs it: 3 channels"
        svg.text(x0, 48, title, 12, bold=True)
        for channel in range(4):
            y = 62 + 34 * channel
            is_dead = channel == 2
            if is_dead and side == 1:
                svg.box(x0, y, 96, 26, "white", FAINT, dash="3 3")
                svg.text(x0 + 48, y + 17, "gone", 11, "middle", FAINT)
                continue
            svg.box(x0, y, 96, 26, FAINT if is_dead else COLORS[0], "none", 0.6)
            svg.text(x0 + 48, y + 17, "always 7" if is_dead else f"channel {channel}", 11, "middle")
            svg.line(x0 + 100, y + 13, x0 + 168, 128, FAINT if is_dead else COLORS[0], 1.4)
            if is_dead:
                svg.text(x0 + 112, y + 10, "x 3", 11, fill=FAINT)
        svg.box(x0 + 170, 108, 150, 40, COLORS[1], "none", 0.5)
        bias = "bias 10" if side == 0 else "bias 10 + 7 x 3 = 31"
        svg.text(x0 + 245, 125, "next layer", 11.5, "middle", bold=True)
        svg.text(x0 + 245, 141, bias, 11.5, "middle")
    return svg.done()


def pipeline() -> str:
    """The way of a model, and the commands on it."""
    svg = _Svg(780, 118, "From a Keras model to a proven firmware")
    stations = ("Keras 3 model", "int8 .tflite", "memory plan", "C sources", "firmware")
    commands = ("train", "inspect, verify", "fit, plan, stream", "export, build", "run, flash")
    arrows = ("convert", "plan", "emit", "build")
    for number, (station, command) in enumerate(zip(stations, commands, strict=True)):
        x = 12 + 154 * number
        svg.box(x, 34, 108, 40, COLORS[number], "none", 0.25)
        svg.text(x + 54, 59, station, 12.5, "middle", bold=True)
        svg.text(x + 54, 96, command, 11.5, "middle", FAINT)
        if number < len(arrows):
            svg.line(x + 110, 54, x + 151, 54, INK, 1.4, arrow=True)
            svg.text(x + 130, 46, arrows[number], 10.5, "middle")
    svg.text(12, 20, "verify: the same bytes from LiteRT, TFLite Micro and the engine", 11.5)
    svg.line(400, 16, 736, 16, COLORS[0], 1.4)
    svg.line(736, 16, 736, 32, COLORS[0], 1.4, arrow=True)
    return svg.done()


DRAWINGS: dict[str, Callable[[], str]] = {
    "pipeline.svg": pipeline,
    "schedule.svg": schedule,
    "pyramid.svg": pyramid,
    "ring.svg": ring,
    "plans.svg": plans,
    "grid.svg": grid,
    "constant-channels.svg": constant_channels,
}
