#pragma once

namespace app::ctl {

/// The whole of underpassctl. Answers 0, 1 when it could not be done, 2 for wrong input.
int run(int argc, char** argv);

}  // namespace app::ctl
