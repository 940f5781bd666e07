"""What can be read off a compilation without running it: counts of the IRs, figures of the hot loop's machine code."""
