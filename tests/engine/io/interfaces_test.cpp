#include "engine/io/interfaces.h"

#include "engine/io/host_ports.h"

#include <QtTest>

#include <algorithm>

#include <arpa/inet.h>
#include <netinet/in.h>
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

/// A datagram socket of this address, on a port that was free.
class BoundSocket {
public:
    explicit BoundSocket(in_addr_t address)
    {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(address);
        take(AF_INET, name, name.sin_port);
    }
    explicit BoundSocket(const in6_addr& address)
    {
        sockaddr_in6 name{};
        name.sin6_family = AF_INET6;
        name.sin6_addr = address;
        take(AF_INET6, name, name.sin6_port);
    }
    ~BoundSocket() { close(); }
    BoundSocket(const BoundSocket&) = delete;
    BoundSocket& operator=(const BoundSocket&) = delete;
    BoundSocket(BoundSocket&&) = delete;
    BoundSocket& operator=(BoundSocket&&) = delete;

    /// Whether it is among what portsOfHost() tells.
    [[nodiscard]] bool isKnown() const
    {
        const auto bound = portsOfHost().bound;
        return std::any_of(bound.begin(), bound.end(),
                           [&](const auto& r) { return r.contains(net::Port{m_port}); });
    }
    void close()
    {
        if (m_socket >= 0) ::close(m_socket);
        m_socket = -1;
    }

private:
    template <typename Name>
    void take(int family, Name& name, in_port_t& port)
    {
        m_socket = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const void* raw = &name;
        for (m_port = 2345; m_port < 3000; ++m_port) {
            port = htons(m_port);
            if (::bind(m_socket, static_cast<const sockaddr*>(raw), sizeof name) == 0) return;
        }
        qFatal("no port is free");
    }

    int m_socket = -1;
    std::uint16_t m_port = 0;
};

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
        BoundSocket socket(INADDR_ANY);
        QVERIFY(socket.isKnown());
        // A range of its own beside the local one, so that a forward to it can be refused.
        QVERIFY(portsOfHost().reserved().size() >= 2);
        QVERIFY(portsOfHost().local.size() > 1);
        socket.close();
        QVERIFY(!socket.isKnown());
    }

    // A database or printer server of this computer alone is no obstacle to a port forward.
    void portBoundToTheLoopbackAddress_isFreeOutside()
    {
        if (tests::enterOwnNamespace()) QVERIFY(tests::run("ip link set lo up"));
        QVERIFY(!BoundSocket(INADDR_LOOPBACK).isKnown());
        QVERIFY(!BoundSocket(INADDR_LOOPBACK + 52).isKnown());
        QVERIFY(!BoundSocket(in6addr_loopback).isKnown());
        QVERIFY(BoundSocket(in6addr_any).isKnown());
        in6_addr mapped = in6addr_loopback;
        mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
        mapped.s6_addr[12] = 127;
        QVERIFY(!BoundSocket(mapped).isKnown());
    }
};

QTEST_APPLESS_MAIN(InterfacesTest)
#include "interfaces_test.moc"
