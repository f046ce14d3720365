#include "engine/io/interfaces.h"

#include "engine/io/host_ports.h"

#include <QtTest>

#include <algorithm>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/engine/io/own_namespace.h"

using namespace engine;
using namespace engine::io;

namespace {

net::PortRange range(std::uint16_t first, std::uint16_t last)
{
    return {net::Port{first}, net::Port{last}};
}

}  // namespace

class InterfacesTest final : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void loopback_isFoundAndKnownForWhatItIs()
    {
        const auto lo = findInterface("lo");
        QVERIFY(lo);
        QVERIFY(lo->loopback);
        QVERIFY(!lo->ethernet);
        QVERIFY(lo->index > 0);
    }

    void unknownName_isNone() { QVERIFY(!findInterface("no-such-card")); }

    void ranges_areSortedAndJoined()
    {
        const auto out = joined({range(10, 20), range(1, 3), range(21, 25), range(4, 2),
                                 range(15, 17), range(65535, 65535), range(65000, 65534)});
        QCOMPARE(out, (std::vector{range(1, 3), range(10, 25), range(65000, 65535)}));
    }

    void boundPort_isTheHosts()
    {
        // Where nobody else binds, if we may go there.
        if (tests::enterOwnNamespace()) QVERIFY(tests::run("ip link set lo up"));
        const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        std::uint16_t port = 2345;
        const void* raw = &address;
        do {
            address.sin_port = htons(++port);
        } while (::bind(socket, static_cast<const sockaddr*>(raw), sizeof address) != 0 &&
                 port < 3000);
        const auto has = [&] {
            const auto bound = portsOfHost().bound;
            return std::any_of(bound.begin(), bound.end(),
                               [&](const auto& r) { return r.contains(net::Port{port}); });
        };
        QVERIFY(has());
        // A range of its own beside the local one, so that a forward to it can be refused.
        QVERIFY(portsOfHost().reserved().size() >= 2);
        QVERIFY(portsOfHost().local.size() > 1);
        ::close(socket);
        QVERIFY(!has());
    }
};

QTEST_APPLESS_MAIN(InterfacesTest)
#include "interfaces_test.moc"
