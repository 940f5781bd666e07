"""Static figures against those of a baseline: what got worse, better, or cannot be told.

Figures of the hot loop are compared per step where both sides tell how many steps an iteration makes; else for as many
bytes as an iteration of the baseline goes along its arrays; so a loop that is unrolled once more is not a longer one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scancc.checking.baseline import Baseline
from scancc.checking.figures_process import Answer
from scancc.checking.finding import Finding, Verdict

Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class Slack:
    """How much worse a figure may get: `relative` of the baseline's value, and at least `least` of its unit."""

    relative: float = 0.0
    least: float = 0.0
    worse: Literal["more", "less"] = "more"

    @property
    def rule(self) -> str:
        if not self.relative:
            return f"not {self.worse}"
        return f"at most {self.relative:.0%} {self.worse}" + (f", or {self.least:g}" if self.least else "")


SLACK: Mapping[str, Slack] = {
    "instructions": Slack(0.10, 2),  # of the hot loop
    "vector width": Slack(worse="less"),  # bits
    "spills": Slack(),
    "critical path": Slack(0.05, 0.1),  # cycles
    "throughput": Slack(0.10, 0.5),  # cycles
    "allocations": Slack(),
    "storage": Slack(),  # bytes
    "loops": Slack(),
    "launches": Slack(),
    "transfers": Slack(),
    "ops": Slack(),
    "step ops": Slack(),
    "statements": Slack(0.10, 2),
    "LLVM instructions": Slack(0.10, 20),  # as they are written
    "optimised LLVM instructions": Slack(0.15, 40),
}
# Figures of the hot loop that grow with its length, by their name in a baseline.
OF_AN_ITERATION = {"instructions": "instructions", "spills": "spills", "critical path": "critical_path_cycles",
                   "throughput": "throughput_cycles"}  # fmt: skip
PLAIN = {"storage": "storage_bytes", "loops": "loops", "launches": "launches", "transfers": "transfers",
         "statements": "statements"}  # fmt: skip
BESIDE = "beside steps: "  # before the name of a figure: of the hottest loop that runs no steps
DIGITS = 2


def compare(baseline: Baseline, found: Answer) -> list[Finding]:
    """Findings of all subjects that were looked at."""
    findings: list[Finding] = []
    refusal = incomparable(baseline.made_with, found.made_with)
    versions = changed_tools(baseline.made_with, found.made_with)
    for subject, after in found.figures.items():
        before = baseline.static.get(subject)
        if before is None:
            note = "not in the baseline; --update adds it"
            findings.append(Finding(subject, "figures", "static", None, None, "new", note))
            continue
        findings += _of_ir(subject, before, after)
        if refusal:
            cpus = baseline.cpu, found.made_with["cpu"]
            findings.append(Finding(subject, "machine code", "static", *cpus, "not compared", refusal))
        else:
            findings += [_noted(f, versions) for f in _of_machine_code(subject, before, after)]
    for subject, why in found.failed.items():
        before_text = "compiles" if subject in baseline.static else None
        findings.append(Finding(subject, "figures", "static", before_text, "fails", "regression", why))
    for subject, why in found.gone.items():
        findings.append(Finding(subject, "figures", "static", "there", None, "gone", why.partition("\n")[0]))
    return findings


def incomparable(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Why machine code of two sides cannot be compared, or nothing."""
    for what, name in (("machine", "the architecture"), ("cpu", "the processor")):
        if before.get(what) != after.get(what):
            return f"the baseline's machine code is for {name} {before.get(what)}, this one for {after.get(what)}"
    if after.get("machine") != "x86-64":
        return f"machine code for {after.get('machine')} is not analysed"
    return ""


def changed_tools(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = [n for n in ("numba", "llvmlite") if before.get(n) != after.get(n)]
    return ", ".join(f"{n} was {before.get(n)}, is {after.get(n)}" for n in names)


def _noted(f: Finding, versions: str) -> Finding:
    if f.verdict != "regression" or not versions:
        return f
    return Finding(f.subject, f.figure, f.kind, f.before, f.after, f.verdict, f"{f.note}; {versions}")


def judge_value(figure: str, before: float, after: float) -> tuple[Verdict, str]:
    """The verdict on one number, and the rule it comes from."""
    slack = SLACK[figure.removeprefix(BESIDE)]
    worse = after - before if slack.worse == "more" else before - after
    allowed = max(slack.relative * abs(before), slack.least)
    if worse > allowed + 1e-9:
        return "regression", slack.rule
    return ("better" if -worse > allowed + 1e-9 else "ok"), slack.rule


def _finding(subject: str, figure: str, before: float, after: float, note: str = "") -> Finding:
    verdict, rule = judge_value(figure, before, after)
    return Finding(subject, figure, "static", _short(before), _short(after), verdict, f"{rule}{note}")


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, DIGITS)


def _of_ir(subject: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Finding]:
    """What does not depend on a processor."""
    for figure, name in PLAIN.items():
        old, new = before.get(name), after[name]
        if isinstance(old, (int, float)) and isinstance(new, (int, float)):
            yield _finding(subject, figure, old, new)
        elif isinstance(old, (int, float)):
            yield Finding(subject, figure, "static", old, None, "regression", "it is not known before a call any more")
        elif new is not None:
            yield Finding(subject, figure, "static", None, new, "better", "it was not known before a call")
    for figure, name in (("ops", "ops"), ("step ops", "step_ops")):
        yield from _of_ops(subject, figure, before.get(name, {}), after[name])


def _of_ops(subject: str, figure: str, before: dict[str, int], after: dict[str, int]) -> Iterator[Finding]:
    """One finding for each op whose count changed; one for all where none did."""
    changed = [op for op in sorted({*before, *after}) if before.get(op, 0) != after.get(op, 0)]
    for op in changed:
        verdict, rule = judge_value(figure, before.get(op, 0), after.get(op, 0))
        yield Finding(subject, f"{figure}: {op}", "static", before.get(op, 0), after.get(op, 0), verdict, rule)
    if not changed:
        total = sum(before.values())
        yield Finding(subject, figure, "static", total, total, "ok", SLACK[figure].rule)


def _of_machine_code(subject: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Finding]:
    yield _finding(subject, "allocations", before.get("allocations", 0), after["allocations"])
    yield _of_calls(subject, before.get("loop_calls", []), after["loop_calls"])
    for figure, name in (("LLVM instructions", "llvm"), ("optimised LLVM instructions", "llvm_optimised")):
        if name in before and name in after:
            yield _finding(subject, figure, before[name], after[name])
    old, new = before.get("hot"), after["hot"]
    if old is not None and new is not None:
        steps = before.get("steps_per_iteration"), after["steps_per_iteration"]
        yield from _of_loop(subject, "", old, new, *steps)
    elif old is not None or new is not None:
        verdict: Verdict = "regression" if old is None else "better"
        words = ["no loop" if side is None else "a loop" for side in (old, new)]
        yield Finding(subject, "hot loop", "static", words[0], words[1], verdict, "no loop where there was none")
    if before.get("beside") is not None and after["beside"] is not None:
        yield from _of_loop(subject, BESIDE, before["beside"], after["beside"])


def _of_loop(
    subject: str, whose: str, old: dict[str, Any], new: dict[str, Any], *steps: int | None
) -> Iterator[Finding]:
    yield _finding(subject, f"{whose}vector width", old["vector_bits"], new["vector_bits"])
    divide_old, divide_new, unit = _units(old.get("stride_bytes"), new["stride_bytes"], *steps)
    for figure, name in OF_AN_ITERATION.items():
        yield _finding(subject, f"{whose}{figure}", old[name] / divide_old, new[name] / divide_new, unit)


def _units(before: int | None, after: int | None, *steps: int | None) -> tuple[float, float, str]:
    """What figures of an iteration are divided by on both sides, so that they are of the same work.

    `before` and `after` are bytes that the loop goes along its arrays, `steps` the steps of an iteration of both.
    """
    known = [s for s in steps if s]
    if len(known) == 2:
        return float(known[0]), float(known[1]), ", per step"
    if before and after and before != after:
        return 1.0, after / before, ", for as many bytes as an iteration of the baseline"
    return 1.0, 1.0, ""


def _of_calls(subject: str, before: list[str], after: list[str]) -> Finding:
    new, left = sorted({*after} - {*before}), sorted({*before} - {*after})
    verdict: Verdict = "regression" if new else "better" if left else "ok"
    note = "no new ones" + (f": {', '.join(new)}" if new else "")
    return Finding(subject, "calls", "static", ", ".join(before) or "none", ", ".join(after) or "none", verdict, note)


def status(findings: list[Finding]) -> int:
    """The exit status of a check: 1 if anything got worse, 3 if anything could not be told, else 0."""
    verdicts = {f.verdict for f in findings}
    if "regression" in verdicts:
        return 1
    return 3 if verdicts & {"undecided", "not compared"} else 0
