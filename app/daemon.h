#pragma once

namespace app {

/// The whole of underpassd: the router without a window. Answers 0 after a clean end, 2 for wrong
/// input, 1 when it had to stop.
int runDaemon(int argc, char** argv);

}  // namespace app
