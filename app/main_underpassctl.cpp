#include "app/ctl/ctl.h"

int main(int argc, char** argv)
{
    return app::ctl::run(argc, argv);
}
