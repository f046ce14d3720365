#include "app/daemon.h"

int main(int argc, char** argv)
{
    return app::runDaemon(argc, argv);
}
