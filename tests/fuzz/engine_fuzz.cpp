// The whole engine: the input is a program of packets, time, commands and restarts, and no program
// may break what the engine promises (tests/engine/engine_program.h).

#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "tests/engine/engine_program.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const program::Ending ending = program::runTwice({data, size});
    if (!ending.complaint.empty()) std::fprintf(stderr, "%s\n", ending.complaint.c_str());
    require(ending.complaint.empty());
    return 0;
}
