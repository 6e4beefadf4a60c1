"""What a pattern with `*` and `?` costs to search for (PS3.4 §C.2.2.2.4).

A search engine turns a pattern into an automaton that looks at each character once. For most patterns that has
about as many states as the pattern has characters; `?` after `*` can double them each time, so that a pattern
of 30 characters keeps a server busy for minutes. The states are counted here before anybody else has to.
"""

_MOST_EFFORT = 8_000  # `*a????????b*` needs 7,680, and 0.1 s where it is searched for


def simplified(pattern: str) -> str:
    """Return the pattern with each run of `*` as one."""
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern


def is_affordable(pattern: str) -> bool:
    """Tell whether the automaton of a simplified pattern stays small.

    Sets of positions in the pattern are the bits of a number: the states are the sets that some text leads to.
    """
    positions = {each: _positions(pattern, each) for each in {*pattern, "*", "?"}}
    any_number, any_one = positions.pop("*"), positions.pop("?")
    steps = {each | any_one for each in positions.values()} | {any_one}
    start = 1 | (1 & any_number) << 1
    known, to_do, effort = {start}, [start], 0
    while to_do:
        state = to_do.pop()
        effort += state.bit_count()
        if effort > _MOST_EFFORT:
            return False
        for step in steps:
            reached = (state & any_number) | (state & step) << 1
            reached |= (reached & any_number) << 1
            if reached not in known:
                known.add(reached)
                to_do.append(reached)
    return True


def _positions(pattern: str, character: str) -> int:
    return sum(1 << index for index, each in enumerate(pattern) if each == character)
