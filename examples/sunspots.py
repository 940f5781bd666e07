"""AR(2) on the yearly sunspot numbers: simulate the fitted recurrence with a compiled scan, beside its peers.

The coefficients are the least-squares fit of x[t] - m on its two past values. The scan drives the fitted
recurrence with its own residuals, which must give the series back; scipy.signal.lfilter and a Python loop do the
same, and the times are medians of interleaved repeats in this process.
"""

import time
from pathlib import Path
from statistics import median

import numpy as np
from scipy.signal import lfilter

import scancc as sc


@sc.scan_compile
def ar2(e, y_tm2, y_tm1, a, b):
    return e + a * y_tm1 + b * y_tm2


def python_loop(e, y0, a, b):
    y = [*y0]
    for e_t in e:
        y.append(e_t + a * y[-1] + b * y[-2])
    return np.array(y[2:])


def main() -> None:
    data = np.loadtxt(Path(__file__).parent / "data" / "sunspots.csv", delimiter=",", skiprows=1)
    x = data[:, 1] - data[:, 1].mean()
    (a, b), *_ = np.linalg.lstsq(np.stack([x[1:-1], x[:-2]], axis=1), x[2:], rcond=None)
    residuals = x[2:] - a * x[1:-1] - b * x[:-2]

    def scan(e):
        return ar2(sequences=e, outputs_info=[dict(initial=x[:2], taps=[-2, -1])], non_sequences=[a, b])

    def scipy(e):
        return lfilter([1], [1, -a, -b], e, zi=[a * x[1] + b * x[0], b * x[1]])[0]

    y = scan(residuals)
    print(f"sunspots {int(data[0, 0])}-{int(data[-1, 0])}: y[t] = e[t] + {a:.4f} y[t-1] + {b:.4f} y[t-2]")
    print(f"residual standard deviation {residuals.std():.2f}")
    for name, answer in {
        "the data themselves": x[2:],
        "scipy.signal.lfilter": scipy(residuals),
        "Python loop": python_loop(residuals, x[:2], a, b),
    }.items():
        difference = np.abs(y - answer).max()
        print(f"  largest difference from {name:22} {difference:.1e}")
        assert difference < 1e-8

    long = np.tile(residuals, 300)
    contenders = {"scancc": scan, "scipy.signal.lfilter": scipy, "Python loop": lambda e: python_loop(e, x[:2], a, b)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(7):
        for name, run in contenders.items():
            start = time.perf_counter()
            run(long)
            times[name].append(time.perf_counter() - start)
    print(f"\n{len(long)} steps" + " " * 12 + "ns/step   against scancc")
    base = median(times["scancc"])
    for name, spent in times.items():
        print(f"  {name:22}{median(spent) / len(long) * 1e9:9.1f}{median(spent) / base:12.1f}x")


if __name__ == "__main__":
    main()
