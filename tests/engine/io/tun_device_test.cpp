#include "engine/io/tun_device.h"

#include "engine/engine.h"
#include "engine/io/clock.h"
#include "engine/io/interfaces.h"

#include <QtTest>

#include <array>
#include <cerrno>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/engine/io/own_namespace.h"

using namespace engine;
using namespace engine::io;

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kPort = 7000;
constexpr const char* kServer = "203.0.113.1";

sockaddr_in addressOf(const char* text, std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    ::inet_pton(AF_INET, text, &address.sin_addr);
    return address;
}

/// A socket of the namespace that this thread is in now; it stays there.
Descriptor socketOf(int type)
{
    return Descriptor{::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

bool bindTo(const Descriptor& socket, const sockaddr_in& address)
{
    const void* raw = &address;
    return ::bind(socket.number(), static_cast<const sockaddr*>(raw), sizeof address) == 0;
}

bool connectTo(const Descriptor& socket, const sockaddr_in& address)
{
    const void* raw = &address;
    return ::connect(socket.number(), static_cast<const sockaddr*>(raw), sizeof address) == 0 ||
           errno == EINPROGRESS;
}

Bytes randomBytes(std::size_t count)
{
    Bytes bytes(count);
    std::uint32_t state = 1;
    for (auto& octet : bytes) {
        state = state * 1664525U + 1013904223U;
        octet = static_cast<std::uint8_t>(state >> 24);
    }
    return bytes;
}

/// One direction of a TCP connection.
struct Transfer {
    const Descriptor& from;
    const Descriptor& to;
    const Bytes& sent;
    Bytes got{};
    std::size_t at = 0;

    void step()
    {
        if (at < sent.size()) {
            const auto n = ::send(from.number(), sent.data() + at, sent.size() - at, MSG_NOSIGNAL);
            if (n > 0) at += static_cast<std::size_t>(n);
        }
        std::array<std::uint8_t, 65536> buffer{};
        while (true) {
            const auto n = ::recv(to.number(), buffer.data(), buffer.size(), 0);
            if (n <= 0) return;
            got.insert(got.end(), buffer.begin(), buffer.begin() + n);
        }
    }
    [[nodiscard]] bool complete() const { return got.size() >= sent.size(); }
};

}  // namespace

/// Two kernels with an Engine between them: a client's namespace that ends in the internal TUN
/// interface, a server's that ends in the external one, both in this one thread.
class TunDeviceTest final : public QObject {
    Q_OBJECT

private:
    std::array<std::unique_ptr<TunDevice>, 2> m_devices;
    std::unique_ptr<Engine> m_engine;
    Output m_output;
    Descriptor m_client;
    Descriptor m_server;
    Descriptor m_clientUdp;
    Descriptor m_serverUdp;
    std::array<std::size_t, 2> m_largest{};  ///< packets of several segments, by ingress

    void send(PortId egress, const wire::Packet& packet)
    {
        const Frame frame{packet.bytes.data(), static_cast<std::uint32_t>(packet.bytes.size()),
                          packet.checksum, packet.segmentPayload};
        (void)m_devices[static_cast<std::size_t>(egress)]->send({&frame, 1});
    }

    /// Moves what is there, for at most some milliseconds.
    void pump(int milliseconds)
    {
        std::array<pollfd, 2> wait{
            {{m_devices[0]->descriptor(), POLLIN, 0}, {m_devices[1]->descriptor(), POLLIN, 0}}};
        (void)::poll(wait.data(), wait.size(), milliseconds);
        for (const PortId ingress : {PortId::Internal, PortId::External}) {
            std::array<Frame, kBatch> frames;
            const auto side = static_cast<std::size_t>(ingress);
            const auto count = m_devices[side]->receive(frames);
            for (std::size_t i = 0; i < count; ++i) {
                wire::Packet packet{frames[i].bytes(), frames[i].checksum,
                                    frames[i].segmentPayload};
                if (packet.segmentPayload != 0) ++m_largest[side];
                const auto verdict = m_engine->handlePacket(now(), ingress, packet, m_output);
                if (verdict.kind == Verdict::Kind::Forward) send(verdict.egress, packet);
            }
        }
        for (auto& packet : m_output.packets) {
            Bytes room(kHeadroom);
            room.insert(room.end(), packet.bytes.begin(), packet.bytes.end());
            send(packet.egress, {wire::MutableBytes{room}.subspan(kHeadroom), packet.checksum,
                                 packet.segmentPayload});
        }
        m_output.clear();
    }

    template <typename Done>
    bool pumpUntil(Done done)
    {
        QElapsedTimer since;
        since.start();
        while (since.elapsed() < 20000) {
            if (done()) return true;
            pump(5);
        }
        return false;
    }

private Q_SLOTS:
    void initTestCase()
    {
        if (!tests::enterOwnNamespace()) QSKIP("needs the right to make network namespaces (root)");
        if (::access("/dev/net/tun", R_OK | W_OK) != 0) QSKIP("needs /dev/net/tun");
        auto inside = TunDevice::open("uti");
        QVERIFY2(inside.has_value(), inside ? "" : inside.error().detail.c_str());
        m_devices[0] = std::move(*inside);
        QVERIFY(
            tests::run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip addr add 192.168.7.10/24 "
                       "dev uti && ip link set uti up && ip route add default dev uti"));
        m_client = socketOf(SOCK_STREAM);
        m_clientUdp = socketOf(SOCK_DGRAM);

        QVERIFY(tests::enterOwnNamespace());
        auto outside = TunDevice::open("ute");
        QVERIFY(outside.has_value());
        m_devices[1] = std::move(*outside);
        QVERIFY(
            tests::run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip addr add 203.0.113.1/24 "
                       "dev ute && ip link set ute up"));
        m_server = socketOf(SOCK_STREAM);
        m_serverUdp = socketOf(SOCK_DGRAM);

        EngineConfig config;
        config.seed = HashKey{1, 2};
        config.maxSessions = 1024;
        config.internal.address = net::Ipv4Address{192, 168, 7, 1};
        config.internal.prefix = net::Prefix{net::Ipv4Address{192, 168, 7, 0}, 24};
        config.external.addresses = {net::Ipv4Address{203, 0, 113, 2}};
        config.external.prefix = net::Prefix{net::Ipv4Address{203, 0, 113, 0}, 24};
        m_engine = std::make_unique<Engine>(now(), config);
    }

    void nameThatIsTooLong_isSaid()
    {
        const auto none = TunDevice::open("a-name-of-many-letters");
        QVERIFY(!none.has_value());
        QCOMPARE(none.error().kind, DeviceError::Kind::NoSuchInterface);
    }

    void interface_isFoundThoughItHasNoHardwareAddress()
    {
        const auto found = findInterface("ute");
        QVERIFY(found);
        QVERIFY(found->index > 0);
        QVERIFY(found->up);
        QVERIFY(!found->ethernet);
        QCOMPARE(found->addresses.size(), std::size_t{1});
    }

    void nameThatIsTaken_isSaid()
    {
        const auto again = TunDevice::open("ute");
        QVERIFY(!again.has_value());
        QVERIFY(!again.error().detail.empty());
    }

    void datagrams_thereAndBack()
    {
        const sockaddr_in server = addressOf(kServer, kPort);
        QVERIFY(bindTo(m_serverUdp, server));
        QVERIFY(connectTo(m_clientUdp, server));
        std::array<std::uint8_t, 65536> buffer{};
        for (const std::size_t size : std::array<std::size_t, 5>{1, 100, 1472, 1473, 9000}) {
            const Bytes sent = randomBytes(size);
            QCOMPARE(::send(m_clientUdp.number(), sent.data(), size, 0),
                     static_cast<ssize_t>(size));
            sockaddr_in peer{};
            socklen_t length = sizeof peer;
            void* raw = &peer;
            ssize_t got = -1;
            QVERIFY(pumpUntil([&] {
                got = ::recvfrom(m_serverUdp.number(), buffer.data(), buffer.size(), 0,
                                 static_cast<sockaddr*>(raw), &length);
                return got >= 0;
            }));
            QCOMPARE(Bytes(buffer.begin(), buffer.begin() + got), sent);
            // What the server sees is the router, not the client.
            QCOMPARE(ntohl(peer.sin_addr.s_addr), (net::Ipv4Address{203, 0, 113, 2}).hostOrder());
            QCOMPARE(::sendto(m_serverUdp.number(), sent.data(), size, 0,
                              static_cast<const sockaddr*>(raw), length),
                     static_cast<ssize_t>(size));
            QVERIFY(pumpUntil([&] {
                got = ::recv(m_clientUdp.number(), buffer.data(), buffer.size(), 0);
                return got >= 0;
            }));
            QCOMPARE(Bytes(buffer.begin(), buffer.begin() + got), sent);
        }
    }

    void eightMegabytesEachWay_arriveWhole_inLargePackets()
    {
        const sockaddr_in server = addressOf(kServer, kPort);
        QVERIFY(bindTo(m_server, server));
        QCOMPARE(::listen(m_server.number(), 1), 0);
        QVERIFY(connectTo(m_client, server));
        Descriptor accepted;
        QVERIFY(pumpUntil([&] {
            accepted = Descriptor{
                ::accept4(m_server.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            return static_cast<bool>(accepted);
        }));
        const Bytes bytes = randomBytes(8 << 20);
        Transfer up{m_client, accepted, bytes};
        Transfer down{accepted, m_client, bytes};
        QVERIFY(pumpUntil([&] {
            up.step();
            down.step();
            return up.complete() && down.complete();
        }));
        QVERIFY(up.got == bytes);
        QVERIFY(down.got == bytes);
        // The kernel's offloads have travelled with the packets, both ways.
        QVERIFY(m_largest[0] > 0);
        QVERIFY(m_largest[1] > 0);
        QCOMPARE(m_devices[0]->counters().receiveRefused, std::uint64_t{0});
        QCOMPARE(m_devices[1]->counters().receiveRefused, std::uint64_t{0});
    }
};

QTEST_APPLESS_MAIN(TunDeviceTest)
#include "tun_device_test.moc"
