#pragma once

#include <cstdlib>
#include <sched.h>
#include <string>

namespace tests {

/// Moves the calling thread into a network namespace of its own, which ends with the process.
inline bool enterOwnNamespace()
{
    return ::unshare(CLONE_NEWNET) == 0;
}

/// Runs a shell command in the same namespace; true if it succeeded.
inline bool run(const std::string& command)
{
    return std::system(command.c_str()) == 0;
}

}  // namespace tests
