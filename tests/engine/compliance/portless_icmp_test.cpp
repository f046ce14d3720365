#include "tests/engine/compliance/bed.h"

using namespace bed;

namespace {

/// One kind of tunnel without ports as a device sends it.
struct Kind {
    const char* name;
    IpProtocol protocol;
    /// Of the device with this number.
    Bytes (*payload)(std::uint8_t device);
    /// Eight octets tell devices apart.
    bool showsAtOnce;
};

Bytes inner4(std::uint8_t device)
{
    return wire::buildIpv4(Ipv4Address{10, 9, 0, device}, Ipv4Address{10, 9, 1, 1}, IpProtocol{253},
                           Bytes(200, 0x5a));
}
Bytes inner6(std::uint8_t device)
{
    Bytes bytes(240);
    bytes[0] = 0x60;
    wire::store64(bytes, 8, 0x20010db800000000U | std::uint64_t{device} << 16);
    wire::store64(bytes, 24, 0x20010db8ffff0000U);
    return bytes;
}
Bytes behind(Bytes header, const Bytes& inner)
{
    header.insert(header.end(), inner.begin(), inner.end());
    return header;
}

const std::vector<Kind> kKinds{
    {"keyed GRE", IpProtocol::Gre,
     [](std::uint8_t device) {
         return behind({0x20, 0, 8, 0, 0, 0, 0, device}, inner4(device));
     },
     true},
    {"GRE without a key", IpProtocol::Gre,
     [](std::uint8_t device) {
         return behind({0, 0, 8, 0}, inner4(device));
     },
     false},
    {"EoIP", IpProtocol::Gre,
     [](std::uint8_t device) {
         return behind({0x20, 1, 0x64, 0, 0, 200, device, 0}, Bytes(200));
     },
     true},
    {"IPIP", IpProtocol::IpIp, &inner4, false},
    {"6in4", IpProtocol::SixInFour, &inner6, false},
};

}  // namespace

/// Who sends port-less packets has to hear what the way says of them, or large ones vanish for ever
/// (RFC 1191). Somebody on the way quotes the whole packet or, as RFC 792 lets him, eight octets.
class PortlessIcmpTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void error_aboutATunnel_reachesItsDevice_data()
    {
        QTest::addColumn<int>("kind");
        for (std::size_t i = 0; i < kKinds.size(); ++i)
            QTest::newRow(kKinds[i].name) << static_cast<int>(i);
    }
    void error_aboutATunnel_reachesItsDevice()
    {
        QFETCH(const int, kind);
        const Kind& one = kKinds[static_cast<std::size_t>(kind)];
        constexpr std::size_t kEightOctets = 28;
        const auto say = [](Bed& bed, Bytes about) {
            return bed.inbound(errorAbout(about, wire::IcmpType::Unreachable,
                                          wire::icmp_unreachable::kFragmentationNeeded, 1400));
        };
        Bed bed;
        const auto from = [&](Ipv4Address device, std::uint8_t number) {
            const Outcome sent =
                bed.outbound(wire::buildIpv4(device, kServer, one.protocol, one.payload(number)));
            QVERIFY2(sent.outside(), sent.what().c_str());
            return;
        };
        from(kAnna, 1);
        // One that was too large.
        const auto packetOf = [&](std::uint8_t number) {
            Bytes payload = one.payload(number);
            payload.resize(1480);
            return wire::buildIpv4(kExternal, kServer, one.protocol, payload);
        };
        const auto cut = [](Bytes packet) {
            packet.resize(kEightOctets);
            return packet;
        };
        const auto reaches = [&](const Bytes& about, Ipv4Address device) {
            const Outcome outcome = say(bed, about);
            if (!outcome.inside()) {
                qWarning("%s", outcome.what().c_str());
                return false;
            }
            Bytes packet = outcome.packet;
            return view(packet).destination() == device &&
                   Ipv4Address{wire::load32(quotedIn(outcome.packet), 12)} == device;
        };
        QVERIFY(reaches(packetOf(1), kAnna));
        QVERIFY(reaches(cut(packetOf(1)), kAnna));
        // Beside another device of the same server only what can be told apart is delivered.
        from(kBert, 2);
        QVERIFY(reaches(packetOf(1), kAnna));
        QVERIFY(reaches(packetOf(2), kBert));
        if (one.showsAtOnce) {
            QVERIFY(reaches(cut(packetOf(2)), kBert));
        } else {
            QVERIFY(say(bed, cut(packetOf(2))).dropped(DropReason::IcmpNoMatch));
        }
        // What nobody has sent is nobody's.
        QVERIFY(say(bed, packetOf(3)).dropped(DropReason::IcmpNoMatch));
        // Nobody needs links that small, nor smaller packets than would have fitted.
        for (const std::uint32_t mtu : {1U, 68U, 551U, 1500U, 9000U}) {
            const auto outcome =
                bed.inbound(errorAbout(packetOf(1), wire::IcmpType::Unreachable,
                                       wire::icmp_unreachable::kFragmentationNeeded, mtu));
            QVERIFY2(outcome.dropped(DropReason::IcmpForged), outcome.what().c_str());
        }
    }
};

QTEST_APPLESS_MAIN(PortlessIcmpTest)
#include "portless_icmp_test.moc"
