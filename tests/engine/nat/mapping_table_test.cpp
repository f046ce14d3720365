#include "engine/nat/mapping_table.h"

#include <QtTest>

#include <set>

using namespace engine;
using namespace engine::nat;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kPorts = 4096;

NatConfig small()
{
    NatConfig config;
    config.ports = {net::Port{10000}, net::Port{10000 + kPorts - 1}};
    return config;
}

MappingWish wish(std::uint32_t number)
{
    const net::Ipv4Address device{(10U << 24) + number / 1000};
    return {.protocol = net::IpProtocol::Udp,
            .internal = {device, net::Port{static_cast<std::uint16_t>(2000 + number % 1000)}}};
}

}  // namespace

class MappingTableTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    // Whoever is refused because a pool is empty costs a few tries, not a search of the pool.
    void port_ofAnExhaustedPool_isSearchedForOncePerSecond()
    {
        MappingTable table(16384, {1, 2});
        Random random{{3, 4}};
        const NatConfig config = small();
        Instant now{100s};
        std::set<net::Port> given;
        std::uint32_t last = 0;
        for (std::uint32_t i = 0; i < kPorts; ++i) {
            const auto made = table.make(now, wish(i), config, random);
            QVERIFY(made.mapping.has_value());
            last = *made.mapping;
            given.insert(table[last].external);
        }
        QCOMPARE(given.size(), std::size_t{kPorts});
        for (int second = 0; second < 3; ++second, now += 1s) {
            const std::uint64_t before = table.wholeSearches();
            for (std::uint32_t i = 0; i < 1000; ++i)
                QVERIFY(!table.make(now, wish(kPorts + i), config, random).mapping);
            QCOMPARE(table.wholeSearches() - before, std::uint64_t{1});
        }
        // A port that is free again is found, also by those who were refused meanwhile.
        const net::Port freed = table[last].external;
        table.remove(now, last);
        for (int i = 0; i < 240; ++i, now += 500ms)
            QVERIFY(!table.make(now, wish(kPorts), config, random).mapping);
        now += 1s;
        const auto made = table.make(now, wish(kPorts), config, random);
        QVERIFY(made.mapping && table[*made.mapping].external == freed);
    }

    // Other ports mean another search at once.
    void port_afterTheRulesHaveChanged_isSearchedForAgain()
    {
        MappingTable table(16384, {1, 2});
        Random random{{3, 4}};
        NatConfig config = small();
        config.portParity = false;
        const net::PortRange kept{config.ports.first, config.ports.first};
        table.reserve({}, {}, {kept});
        const Instant now{100s};
        for (std::uint32_t i = 0; i + 1 < kPorts; ++i)
            QVERIFY(table.make(now, wish(i), config, random).mapping);
        QVERIFY(!table.make(now, wish(kPorts), config, random).mapping);
        table.reserve({}, {}, {});
        QVERIFY(table.make(now, wish(kPorts), config, random).mapping);
    }
};

QTEST_APPLESS_MAIN(MappingTableTest)
#include "mapping_table_test.moc"
