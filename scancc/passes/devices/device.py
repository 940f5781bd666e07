"""What a block of threads has on a device: decisions of passes depend on nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """Limits of a device; those that are left out are those of compute capability 8.0."""

    fewest_threads: int = 32  # of a block that works together: a warp
    most_threads: int = 512  # of such a block: 128 registers are left to each
    lane_threads: int = 128  # of a block whose threads have lanes of their own
    registers: int = 65_536  # of a block, of 32 bits each; on every device from compute capability 6.0
    registers_of_a_thread: int = 255
    shared: int = 163 * 1024  # bytes of a block's own memory, of which a kernel declares SHARED at most

    def threads(self, width: int) -> int:
        """Threads of a block whose widest loop has so many iterations, a power of two."""
        return min(self.most_threads, max(self.fewest_threads, 1 << (max(1, width) - 1).bit_length()))

    def registers_of_each(self, threads: int) -> int:
        """How many registers a thread can have in a block of so many."""
        return min(self.registers_of_a_thread, self.registers // threads)


SHARED = 40_000  # bytes of a block's memory that kernels declare, of the 48 kB that every device has
ANY = Device()
