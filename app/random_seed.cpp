#include "app/random_seed.h"

#include <QRandomGenerator>

namespace app {

engine::HashKey randomSeed()
{
    auto* source = QRandomGenerator::system();
    return {source->generate64(), source->generate64()};
}

}  // namespace app
