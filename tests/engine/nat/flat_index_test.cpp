#include "engine/nat/flat_index.h"

#include "engine/base/random.h"

#include <QtTest>

#include <algorithm>
#include <map>

using namespace engine;
using nat::FlatIndex;

namespace {

constexpr std::uint32_t kRecords = 64;

/// Few hashes, so that searches are long and collide.
std::uint32_t hashOf(std::uint32_t reference)
{
    return reference % 7U * 3U;
}

}  // namespace

class FlatIndexTest : public QObject {
    Q_OBJECT
private slots:
    void whatWasNotThere_isKnownToBeAbsent_onlyWhileItIs();
    void insertWithAnOldPlace_isFoundLikeAnyOther();
    void placeOfNoSearch_saysNothing();
};

/// The promise of isStillAbsent(): never true for a hash that the index has.
void FlatIndexTest::whatWasNotThere_isKnownToBeAbsent_onlyWhileItIs()
{
    Random random{HashKey{1, 2}};
    int known = 0;
    for (int round = 0; round < 200; ++round) {
        FlatIndex index{kRecords};
        std::map<std::uint32_t, std::uint32_t> model;  // reference to hash
        std::map<std::uint32_t, FlatIndex::Place> places;
        for (int step = 0; step < 300; ++step) {
            const std::uint32_t hash = random.below(40);
            switch (random.below(10)) {
            case 0:
                if (!model.empty()) {
                    const auto victim = std::next(
                        model.begin(), random.below(static_cast<std::uint32_t>(model.size())));
                    index.erase(victim->second, victim->first);
                    model.erase(victim);
                }
                break;
            case 1:
            case 2:
            case 3: places[hash] = index.guess(hash); break;
            default: {
                const std::uint32_t reference = random.below(kRecords);
                if (model.contains(reference) || model.size() == kRecords) break;
                const auto place = places.find(hash);
                if (place != places.end()) {
                    index.insert(hash, reference, place->second);
                } else {
                    index.insert(hash, reference);
                }
                model[reference] = hash;
            }
            }
            for (const auto& [searched, place] : places) {
                const bool there = std::any_of(model.begin(), model.end(), [&](const auto& entry) {
                    return entry.second == searched;
                });
                if (index.isStillAbsent(place)) {
                    QVERIFY2(!there, "it has come since");
                    ++known;
                }
            }
            for (const auto& [reference, of] : model) {
                QCOMPARE(index.find(of, [&](std::uint32_t one) { return one == reference; }),
                         reference);
            }
        }
        QCOMPARE(index.size(), static_cast<std::uint32_t>(model.size()));
    }
    // It must be of use, too.
    QVERIFY(known > 10000);
}

void FlatIndexTest::insertWithAnOldPlace_isFoundLikeAnyOther()
{
    FlatIndex index{kRecords};
    for (std::uint32_t i = 0; i < 8; ++i)
        index.insert(hashOf(i), i);
    const FlatIndex::Place place = index.guess(100);
    QVERIFY(index.isStillAbsent(place));
    index.erase(hashOf(0), 0);
    QVERIFY(!index.isStillAbsent(place));
    index.insert(100, 20, place);
    QCOMPARE(index.find(100, [](std::uint32_t one) { return one == 20; }), 20U);
    const FlatIndex::Place other = index.guess(101);
    index.insert(101, 21, other);
    QVERIFY(!index.isStillAbsent(other));
    index.insert(101, 22, other);
    QCOMPARE(index.find(101, [](std::uint32_t one) { return one == 21; }), 21U);
    QCOMPARE(index.find(101, [](std::uint32_t one) { return one == 22; }), 22U);
}

void FlatIndexTest::placeOfNoSearch_saysNothing()
{
    const FlatIndex index{kRecords};
    QVERIFY(!index.isStillAbsent(FlatIndex::Place{}));
}

QTEST_APPLESS_MAIN(FlatIndexTest)
#include "flat_index_test.moc"
