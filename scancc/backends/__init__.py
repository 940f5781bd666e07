"""Back ends print loop IR as source of the target's Python dialect and compile it."""
