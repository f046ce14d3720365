#include "engine/io/guard_program.h"

#include "engine/io/descriptor.h"
#include "engine/wire/icmp_view.h"

#include <QtTest>

#include <array>
#include <bpf/bpf.h>
#include <cstring>

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <unistd.h>

using namespace engine;
using namespace engine::io;

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr net::Ipv4Address kInside{192, 168, 7, 1};
constexpr net::Ipv4Address kDevice{192, 168, 7, 20};
constexpr net::Ipv4Address kOutside{203, 0, 113, 2};
constexpr net::Ipv4Address kOneToOne{203, 0, 113, 3};
constexpr net::Ipv4Address kServer{198, 51, 100, 9};
constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kGre = 47;
constexpr std::uint8_t kOspf = 89;

GuardPlan plan()
{
    GuardPlan p;
    p.internalPrefix = net::Prefix{kInside, 24};
    p.internalAddresses = {kInside};
    p.sharedAddresses = {kOutside};
    p.engineAddresses = {kOneToOne};
    p.ports = {{net::Port{1024}, net::Port{32767}}, {net::Port{61000}, net::Port{65535}}};
    p.internalUdp = {{net::Port{53}, net::Port{53}}};
    p.protocols = {4, 41, 47, 50, 51, 115};
    return p;
}

struct Wanted {
    net::Ipv4Address to = kOutside;
    std::uint8_t protocol = kTcp;
    std::uint16_t port = 0;
    std::uint16_t fragment = 0;
    std::uint8_t options = 0;  ///< 32-bit words
};

Bytes frame(const Wanted& wanted)
{
    const std::size_t header = 20 + std::size_t{wanted.options} * 4;
    // The test bench's card has the address zero.
    Bytes bytes{0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 8, 0};
    bytes.resize(14 + header + 20);
    const auto ip = wire::MutableBytes{bytes}.subspan(14);
    ip[0] = static_cast<std::uint8_t>(0x45 + wanted.options);
    wire::store16(ip, 2, static_cast<std::uint16_t>(header + 20));
    wire::store16(ip, 6, wanted.fragment);
    ip[8] = 64;
    ip[9] = wanted.protocol;
    wire::store32(ip, 12, kServer.hostOrder());
    wire::store32(ip, 16, wanted.to.hostOrder());
    wire::store16(ip, header + 2, wanted.port);
    return bytes;
}

/// ICMP for the shared address, so many octets behind the link header.
Bytes ping(wire::IcmpType type, std::uint16_t total, std::uint16_t fragment = 0)
{
    Bytes bytes = frame({.protocol = kIcmp, .fragment = fragment});
    bytes.resize(14 + std::size_t{total});
    const auto ip = wire::MutableBytes{bytes}.subspan(14);
    wire::store16(ip, 2, total);
    ip[20] = static_cast<std::uint8_t>(type);
    return bytes;
}

}  // namespace

/// The real program in the kernel's own test bench (BPF_PROG_TEST_RUN), octet for octet.
class GuardProgramTest final : public QObject {
    Q_OBJECT

private:
    Descriptor m_table;
    Descriptor m_internal;
    Descriptor m_external;

    [[nodiscard]] Descriptor load(GuardSide side) const
    {
        const auto code = guardProgram(side, LinkKind::Ethernet, m_table.number());
        return Descriptor{::bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "underpass_test", "GPL",
                                          code.data(), code.size(), nullptr)};
    }

    [[nodiscard]] static bool takes(const Descriptor& program, Bytes bytes)
    {
        bpf_test_run_opts options{};
        options.sz = sizeof options;
        options.data_in = bytes.data();
        options.data_size_in = static_cast<std::uint32_t>(bytes.size());
        options.repeat = 1;
        if (::bpf_prog_test_run_opts(program.number(), &options) != 0) return false;
        return options.retval == TC_ACT_SHOT;
    }
    [[nodiscard]] bool inside(const Wanted& w) const { return takes(m_internal, frame(w)); }
    [[nodiscard]] bool outside(const Wanted& w) const { return takes(m_external, frame(w)); }

    /// The programs' table by the test's plan as `change` leaves it.
    template <typename Change>
    void setTable(const Change& change) const
    {
        GuardPlan changed = plan();
        change(changed);
        const GuardTable table = guardTable(changed);
        const std::uint32_t key = 0;
        QCOMPARE(::bpf_map_update_elem(m_table.number(), &key, &table, BPF_ANY), 0);
    }

private Q_SLOTS:
    void initTestCase()
    {
        m_table = Descriptor{::bpf_map_create(BPF_MAP_TYPE_ARRAY, "underpass_test", 4,
                                              sizeof(GuardTable), 1, nullptr)};
        if (!m_table) QSKIP("needs the right to load BPF programs (root)");
        setTable([](GuardPlan&) {});
        m_internal = load(GuardSide::Internal);
        m_external = load(GuardSide::External);
        QVERIFY(bool{m_internal});
        QVERIFY(bool{m_external});
    }

    void external_everyPortAgreesWithThePlan()
    {
        for (std::uint32_t port = 0; port < 65536; ++port) {
            const net::Port value{static_cast<std::uint16_t>(port)};
            const bool ours = plan().ports[0].contains(value) || plan().ports[1].contains(value);
            const Wanted wanted{.port = value.hostOrder()};
            if (outside(wanted) != ours) QFAIL(qPrintable(QString::number(port)));
        }
        QVERIFY(outside({.protocol = kUdp, .port = 2000}));
        QVERIFY(!outside({.protocol = kUdp, .port = 40000}));
    }

    void external_portIsFoundBehindOptions()
    {
        for (std::uint8_t words = 0; words <= 10; ++words) {
            QVERIFY(outside({.port = 2000, .options = words}));
            QVERIFY(!outside({.port = 22, .options = words}));
        }
    }

    void external_protocols()
    {
        QVERIFY(outside({.protocol = kGre}));
        QVERIFY(outside({.protocol = 50}));
        QVERIFY(!outside({.protocol = kIcmp}));
        QVERIFY(!outside({.protocol = kOspf}));
        QVERIFY(!outside({.protocol = 2}));
    }

    void external_pings_areTheHostsUpToTheSizeThatNoPathMtuCuts()
    {
        const auto echo = wire::IcmpType::Echo;
        QVERIFY(!takes(m_external, ping(echo, 64)));
        QVERIFY(!takes(m_external, ping(echo, nat::kLargestSmallPing)));
        QVERIFY(takes(m_external, ping(echo, nat::kLargestSmallPing + 1)));
        QVERIFY(takes(m_external, ping(echo, 1500)));
        QVERIFY(takes(m_external, ping(echo, 64, 0x2000)));
        // The rest of a ping in fragments; and what others answer to the host's own.
        QVERIFY(!takes(m_external, ping(echo, 1500, 10)));
        QVERIFY(!takes(m_external, ping(wire::IcmpType::EchoReply, 1500)));
        QVERIFY(!takes(m_external, ping(wire::IcmpType::EchoReply, 1500, 0x2000)));
        QVERIFY(!takes(m_external, ping(wire::IcmpType::Timestamp, 40)));
        // Devices inside are no strangers.
        QVERIFY(!takes(m_internal, ping(echo, 1500)));

        setTable([](GuardPlan& p) { p.pings = nat::PingsFromOutside::None; });
        for (const auto type : {echo, wire::IcmpType::Timestamp})
            QVERIFY(takes(m_external, ping(type, 40)));
        QVERIFY(takes(m_external, ping(echo, 64, 0x2000)));
        QVERIFY(!takes(m_external, ping(wire::IcmpType::EchoReply, 1500)));
        QVERIFY(!takes(m_internal, ping(echo, 64)));

        setTable([](GuardPlan& p) { p.pings = nat::PingsFromOutside::All; });
        QVERIFY(!takes(m_external, ping(echo, 1500)));
        QVERIFY(!takes(m_external, ping(echo, 1500, 0x2000)));
        setTable([](GuardPlan&) {});
    }

    void external_fragmentationNeeded_aboutAnAnswerToAPing_isTaken()
    {
        const auto quoting = [](std::uint8_t protocol, wire::IcmpType type, std::uint8_t options,
                                std::uint16_t fragment = 0, std::uint8_t code = 4) {
            Bytes bytes = ping(wire::IcmpType::Unreachable, 20 + 8 + 60 + 8, fragment);
            bytes[14 + 21] = code;
            const auto quote = wire::MutableBytes{bytes}.subspan(14 + 28);
            quote[0] = static_cast<std::uint8_t>(0x45 + options);
            quote[9] = protocol;
            quote[20 + std::size_t{options} * 4] = static_cast<std::uint8_t>(type);
            return bytes;
        };
        for (std::uint8_t options = 0; options <= 10; ++options) {
            QVERIFY(takes(m_external, quoting(kIcmp, wire::IcmpType::EchoReply, options)));
            QVERIFY(!takes(m_external, quoting(kIcmp, wire::IcmpType::Echo, options)));
        }
        QVERIFY(takes(m_external, quoting(kIcmp, wire::IcmpType::EchoReply, 0, 0x2000)));
        QVERIFY(!takes(m_external, quoting(kIcmp, wire::IcmpType::EchoReply, 0, 0, 3)));
        QVERIFY(!takes(m_external, quoting(kTcp, wire::IcmpType::EchoReply, 0)));
        QVERIFY(!takes(m_external, quoting(kUdp, wire::IcmpType::EchoReply, 0)));
        // A quote that is cut away, or claims options that are not there.
        Bytes cut = quoting(kIcmp, wire::IcmpType::EchoReply, 0);
        cut.resize(14 + 28 + 12);
        QVERIFY(takes(m_external, cut));
        cut = quoting(kIcmp, wire::IcmpType::EchoReply, 10);
        cut.resize(14 + 28 + 40);
        QVERIFY(takes(m_external, cut));

        setTable([](GuardPlan& p) { p.pings = nat::PingsFromOutside::All; });
        QVERIFY(!takes(m_external, quoting(kIcmp, wire::IcmpType::EchoReply, 0)));
        setTable([](GuardPlan&) {});
    }

    void external_laterFragments_areLeftToTheHost()
    {
        QVERIFY(!outside({.protocol = kUdp, .port = 2000, .fragment = 185}));
        QVERIFY(outside({.protocol = kUdp, .port = 2000, .fragment = 0x2000}));
    }

    void external_addresses()
    {
        QVERIFY(outside({.to = kOneToOne, .port = 22}));
        QVERIFY(outside({.to = kOneToOne, .protocol = kIcmp}));
        // Straight to a device inside: never by the host's own forwarding.
        QVERIFY(outside({.to = kDevice, .port = 22}));
        QVERIFY(outside({.to = kInside, .port = 22}));
        QVERIFY(!outside({.to = net::Ipv4Address{172, 17, 0, 2}, .port = 2000}));
    }

    void internal_hostKeepsItsServices()
    {
        QVERIFY(!inside({.to = kInside, .port = 22}));
        QVERIFY(!inside({.to = kInside, .port = 53}));
        QVERIFY(!inside({.to = kInside, .protocol = kIcmp}));
        QVERIFY(inside({.to = kInside, .protocol = kUdp, .port = 53}));
        QVERIFY(!inside({.to = kInside, .protocol = kUdp, .port = 67}));
        // Its external address too, but for the ports that hairpin.
        QVERIFY(!inside({.to = kOutside, .port = 22}));
        QVERIFY(inside({.to = kOutside, .port = 2000}));
    }

    void internal_nothingIsForwardedBesideUs()
    {
        QVERIFY(inside({.to = kServer, .port = 443}));
        QVERIFY(inside({.to = kServer, .protocol = kIcmp}));
        QVERIFY(inside({.to = kDevice, .protocol = kUdp, .port = 443}));
        QVERIFY(inside({.to = kServer, .fragment = 185}));
    }

    void otherStationsEtherTypesAndTornPackets_pass()
    {
        Bytes arp = frame({.port = 2000});
        arp[13] = 6;
        QVERIFY(!takes(m_external, arp));
        Bytes others = frame({.port = 2000});
        others[0] = 4;
        QVERIFY(!takes(m_external, others));
        Bytes torn = frame({.port = 2000});
        torn.resize(14 + 20);
        QVERIFY(!takes(m_external, torn));
    }

    void tableWithoutInternalNetwork_takesNothingForIt()
    {
        const GuardTable table = guardTable({});
        QVERIFY(table.internalMask == GuardTable::Address({0xff, 0xff, 0xff, 0xff}));
        QVERIFY(table.internalNetwork == GuardTable::Address({0xff, 0xff, 0xff, 0xff}));
    }
};

QTEST_APPLESS_MAIN(GuardProgramTest)
#include "guard_program_test.moc"
