"""Figures that others published for the same networks, to stand beside those measured here.

Source: MLPerf Tiny's closed division, the submissions in github.com/mlcommons/tiny_results_v0.5 to
v1.3: latency times the clock of the system that was measured, in millions of cycles. They were
measured on silicon, waiting for flash included. Which submissions drop constant channels is not
said; from their figures X-CUBE-AI and Plumerai do on VWW, and HALE, microTVM and TFLite Micro do
not.
"""

SYSTEMS = {
    "M4": "STM32L4R5, 120 MHz",
    "M7": "STM32H7A3, 280 MHz",
    "M33": "STM32U575, 160 MHz",
    "M0+": "STM32G0B1, 64 MHz",
}
MEGACYCLES = {
    ("VWW", "M4"): {
        "X-CUBE-AI": 10.67,
        "Plumerai": 11.85,
        "HALE": 21.66,
        "microTVM, CMSIS-NN": 36.1,
        "TFLM, reference": 72.1,
    },
    ("VWW", "M7"): {"X-CUBE-AI": 6.67, "Plumerai": 7.36, "HALE": 12.2},
    ("VWW", "M33"): {"X-CUBE-AI": 9.48, "Plumerai": 9.52, "HALE": 18.4},
    ("VWW", "M0+"): {"HALE": 90.5},
    ("ResNet8", "M4"): {"X-CUBE-AI": 19.82, "Plumerai": 20.13, "HALE": 21.5},
    ("ResNet8", "M7"): {"X-CUBE-AI": 11.44, "HALE": 12.8},
    ("ResNet8", "M33"): {"Plumerai": 16.69, "X-CUBE-AI": 17.5},
    ("ResNet8", "M0+"): {"HALE": 97.4},
    ("KWS", "M4"): {"X-CUBE-AI": 5.18, "Plumerai": 5.73, "HALE": 7.2},
    ("KWS", "M7"): {"X-CUBE-AI": 3.17, "Plumerai": 3.83},
    ("KWS", "M33"): {"X-CUBE-AI": 4.64},
    ("KWS", "M0+"): {"HALE": 30.4},
    ("ad01", "M4"): {"Plumerai": 0.49, "X-CUBE-AI": 0.575},
    ("ad01", "M7"): {"HALE": 0.30},
    ("ad01", "M33"): {"HALE": 0.49},
    ("ad01", "M0+"): {"HALE": 2.62},
}


def published(task: str, core: str) -> str:
    """Says what others published, in M cycles; empty where nothing is known."""
    found = MEGACYCLES.get((task, core), {})
    return ", ".join(f"{name} {figure:g}" for name, figure in found.items())
