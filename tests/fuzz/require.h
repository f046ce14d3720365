#pragma once

/// What must hold for every input; libFuzzer keeps the input for which it does not.
inline void require(bool holds)
{
    if (!holds) __builtin_trap();
}
