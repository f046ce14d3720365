#include "engine/passthrough/passthrough.h"
