"""What rewritten code calls."""

from scancc.frontend.control_flow.elements import augment, in_place, item, store
from scancc.frontend.control_flow.expressions import (
    and_,
    assert_,
    chain,
    contains,
    if_expression,
    not_,
    or_,
    plain,
)
from scancc.frontend.control_flow.functions import callee
from scancc.frontend.control_flow.joins import Undefined, closed, opened
from scancc.frontend.control_flow.loops import for_each, for_range, while_
from scancc.frontend.control_flow.statements import if_, if_return
from scancc.frontend.made_arrays import made
from scancc.frontend.regions import note_container as fresh

slice = slice  # which a user's function may call otherwise

__all__ = ["Undefined", "and_", "assert_", "augment", "callee", "chain", "closed", "contains", "for_each", "for_range",
           "fresh", "if_", "if_expression", "if_return", "in_place", "item", "made", "not_", "opened", "or_", "plain",
           "slice", "store", "while_"]  # fmt: skip
