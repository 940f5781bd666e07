"""The longest chain of operations that leads from one iteration of a loop into the next.

Every instruction depends on those that wrote its registers, and a load on the store before it to the same address. Some
of these dependencies come from an iteration before. A cycle of them takes the sum of its latencies for as many
iterations as it spans: the largest ratio of all cycles is what an iteration takes at least, however wide the core is
(Cuninghame-Green's maximum cycle mean; here found by Karp's theorem, "A characterization of the minimum cycle mean in a
digraph", 1978). Branches are assumed to be predicted: nothing depends on their conditions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scancc.static.addresses import Form, address, later, result, root, stride
from scancc.static.assembly import Instruction
from scancc.static.effects import FLAGS, Effects, effects_of, memory_bytes
from scancc.static.loops import Loop
from scancc.static.machine_model import FORWARD, LOAD, cost_of

REACH = 4  # iterations over which a load is searched for the store that it reads
NEVER = -np.inf


@dataclass(eq=False)
class Access:
    """A load or store: the number of its instruction, its address, and how many bytes there."""

    node: int
    form: Form
    size: int


@dataclass(eq=False)
class Dependencies:
    """Instructions of a loop in an order of execution.

    `before[v]` has (u, cycles): what v needs of u of the same iteration, and the time from u's result to v's result.
    `entering[v]` has (register, cycles): what v needs of the iteration before; `leaving` the instructions that may have
    written a register last. `carried` has (store, load, iterations between, cycles) of values that memory carries.
    """

    instructions: list[tuple[Instruction, Effects]] = field(default_factory=list)
    before: list[list[tuple[int, float]]] = field(default_factory=list)
    entering: list[list[tuple[str, float]]] = field(default_factory=list)
    leaving: dict[str, set[int]] = field(default_factory=dict)
    step: dict[str, Form] = field(default_factory=dict)
    loads: list[Access] = field(default_factory=list)
    stores: list[Access] = field(default_factory=list)
    carried: list[tuple[int, int, int, float]] = field(default_factory=list)

    def strides(self) -> set[int]:
        """Bytes by which accesses move an iteration, where that is known, without those that stay in place."""
        found = {stride(a.form, self.step) for a in (*self.loads, *self.stores)}
        return {abs(s) for s in found if s}


ENTRY = -1  # stands for what a register holds when the iteration begins
State = dict[str, frozenset[int]]  # the instructions that may have written a register last; not there: ENTRY alone
Held = dict[str, Form]


def dependencies(loop: Loop) -> Dependencies:
    """The dependencies between the instructions of a loop. Loops within it count as if they ran once."""
    found = Dependencies()
    ends: dict[int, tuple[State, Held]] = {}
    order = loop.ordered()
    position = {b: k for k, b in enumerate(order)}
    sources: dict[int, list[int]] = {b: [] for b in order}
    for b in order:
        for s in loop.function.blocks[b].successors:
            if s in position and s != loop.header and position[s] > position[b]:
                sources[s].append(b)
    for b in order:
        state, held = _merged([ends[p] for p in sources[b]], b)
        for i in loop.function.blocks[b].instructions:
            _add(found, i, state, held)
        ends[b] = state, held
    last, found.step = _merged([ends[b] for b in loop.latches if b in ends], "end")
    found.leaving = {register: set(writers) - {ENTRY} for register, writers in last.items()}
    _through_memory(found)
    return found


def _merged(given: list[tuple[State, Held]], where: object) -> tuple[State, Held]:
    """What holds where several ways meet."""
    if not given:
        return {}, {}
    state: State = {}
    for register in sorted({r for s, _ in given for r in s}):
        state[register] = frozenset().union(*(s.get(register, frozenset({ENTRY})) for s, _ in given))
    held: Held = {}
    for register in sorted({r for _, h in given for r in h}):
        forms = {h.get(register) for _, h in given}
        form = forms.pop() if len(forms) == 1 else None
        held[register] = form if form is not None else root(("join", where, register))
    return state, held


def _add(found: Dependencies, i: Instruction, state: State, held: Held) -> None:
    """One more instruction; `state` and `held` become what holds after it."""
    effects = effects_of(i)
    node = len(found.instructions)
    latency = cost_of(i, effects).latency
    before: list[tuple[int, float]] = []
    entering: list[tuple[str, float]] = []
    needed = [(r, latency) for r in effects.data if not i.is_jump]
    if effects.load is not None or i.mnemonic.startswith("lea"):
        needed += [(r, LOAD + latency) for r in effects.address]
    for register, cycles in needed:
        for u in sorted(state.get(register, {ENTRY})):
            if u == ENTRY:
                entering.append((register, cycles))
            else:
                before.append((u, cycles))
    found.instructions.append((i, effects))
    found.before.append(before)
    found.entering.append(entering)
    for place, accesses in ((effects.load, found.loads), (effects.store, found.stores)):
        if place is not None and not i.mnemonic.startswith(("push", "pop", "call")):
            accesses.append(Access(node, address(place, held), memory_bytes(i)))
    form = None
    if len(effects.writes) and effects.writes[0] != FLAGS:
        form = result(i, held, ("value", node))
    for register in effects.writes:
        state[register] = frozenset({node})
        held[register] = form if form is not None and register == effects.writes[0] else root(("value", node, register))


def _through_memory(found: Dependencies) -> None:
    """Loads of what a store before them has written, of the same iteration or of one of the last."""
    by_terms: dict[frozenset, list[Access]] = {}
    for s in found.stores:
        by_terms.setdefault(s.form.terms, []).append(s)

    def writer(form: Form | None, size: int, before: int | None) -> Access | None:
        """The last store that covers these bytes."""
        if form is None:
            return None
        first, end = form.offset, form.offset + size
        near = (s for s in reversed(by_terms.get(form.terms, [])) if before is None or s.node < before)
        return next((s for s in near if s.form.offset <= first and end <= s.form.offset + s.size), None)

    for load in found.loads:
        cycles = FORWARD + cost_of(*found.instructions[load.node]).latency
        same = writer(load.form, load.size, load.node)
        if same is not None:
            found.before[load.node].append((same.node, cycles))
            continue
        form: Form | None = load.form
        for distance in range(1, REACH + 1):
            form = later(form, found.step) if form is not None else None
            store = writer(form, load.size, None)
            if store is not None:
                found.carried.append((store.node, load.node, distance, cycles))
                break


def critical_path(found: Dependencies) -> float:
    """Cycles an iteration at least, by the longest cycle of dependencies; 0 where no iteration waits for another."""
    registers = sorted({r for needs in found.entering for r, _ in needs if r in found.leaving})
    n = len(registers) + len(found.carried)
    if not n:
        return 0.0
    column = {r: k for k, r in enumerate(registers)}
    # reach[v][k]: the longest way from value k, as it enters the iteration, to the result of v.
    reach = np.full((len(found.instructions), n), NEVER)
    for k, (_, load, _, cycles) in enumerate(found.carried):
        reach[load, len(registers) + k] = cycles
    for v, (before, entering) in enumerate(zip(found.before, found.entering, strict=True)):
        for r, cycles in entering:
            if r in column:
                reach[v, column[r]] = max(reach[v, column[r]], cycles)
        for u, cycles in before:
            np.maximum(reach[v], reach[u] + cycles, out=reach[v])
    # ways[k, m]: from value k to what value m is in the iteration that reads it.
    ways = np.full((n, n), NEVER)
    for r, m in column.items():
        ways[:, m] = np.max(reach[sorted(found.leaving[r])], axis=0)
    delays = [1] * len(registers)
    for k, (store, _, distance, _) in enumerate(found.carried):
        ways[:, len(registers) + k] = reach[store]
        delays.append(distance)
    return maximum_cycle_mean(_delayed(ways, delays))


def _delayed(ways: np.ndarray, delays: list[int]) -> np.ndarray:
    """The same graph in which a value that is read d iterations later passes d - 1 places that take no time."""
    n = len(delays)
    extra = sum(d - 1 for d in delays)
    if not extra:
        return ways
    full = np.full((n + extra, n + extra), NEVER)
    full[:n, :n] = ways
    free = n
    for k, d in enumerate(delays):
        for _ in range(d - 1):  # what led to k leads to the new place, and that to k
            full[:, free] = full[:, k]
            full[:, k] = NEVER
            full[free, k] = 0.0
            free += 1
    return full


def maximum_cycle_mean(weights: np.ndarray) -> float:
    """The largest mean weight of a cycle; `weights[i, j]` is of the edge from i to j, -inf where there is none."""
    n = len(weights)
    walks = np.zeros((n + 1, n))  # the heaviest walk of k edges that ends in each node
    for k in range(n):
        walks[k + 1] = np.max(walks[k][:, None] + weights, axis=0)
    ends = np.isfinite(walks[n])
    if not ends.any():
        return 0.0
    lengths = np.arange(n, 0, -1)[:, None]
    with np.errstate(invalid="ignore"):
        means = (walks[n][ends] - walks[:n, ends]) / lengths
    return float(max(0.0, np.max(np.min(means, axis=0))))
