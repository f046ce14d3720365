#include "engine/base/bounded_queue.h"
#include "engine/base/drop_reason.h"
#include "engine/base/random.h"
#include "engine/base/result.h"
#include "engine/base/siphash.h"
#include "engine/base/time.h"

#include <QtTest>

#include <array>
#include <bit>
#include <deque>
#include <memory>
#include <set>
#include <string>

using namespace engine;
using namespace std::chrono_literals;

namespace {

enum class Trouble { Small, Large };

Result<int, Trouble> half(int number)
{
    if (number % 2 != 0) return Err{Trouble::Small};
    return number / 2;
}

Result<std::unique_ptr<int>, Trouble> moveOnly()
{
    return std::make_unique<int>(7);
}

Result<void, std::string> refuse()
{
    return Err{"no"};
}

/// SipHash-1-3 told once more over whole messages, as its authors do: key, words, length word. Ours
/// leaves the length word out, so this one may be told to.
std::uint64_t obviousSipHash(const HashKey& key, std::uint64_t a, std::uint64_t b)
{
    std::array<std::uint64_t, 4> v{key.k0 ^ 0x736f6d6570736575U, key.k1 ^ 0x646f72616e646f6dU,
                                   key.k0 ^ 0x6c7967656e657261U, key.k1 ^ 0x7465646279746573U};
    const auto rotate = [](std::uint64_t x, int by) {
        return (x << by) | (x >> (64 - by));
    };
    const auto round = [&] {
        v[0] += v[1];
        v[1] = rotate(v[1], 13);
        v[1] ^= v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16);
        v[3] ^= v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21);
        v[3] ^= v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17);
        v[1] ^= v[2];
        v[2] = rotate(v[2], 32);
    };
    for (const std::uint64_t word : {a, b}) {
        v[3] ^= word;
        round();
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; ++i)
        round();
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

}  // namespace

class BaseTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void result_withAValue_givesIt()
    {
        const auto result = half(8);
        QVERIFY(result);
        QCOMPARE(*result, 4);
        QCOMPARE(**moveOnly(), 7);
    }

    void result_withAnError_givesTheReason()
    {
        QVERIFY(!half(7));
        QVERIFY(half(7).error() == Trouble::Small);
        QCOMPARE(refuse().error(), std::string("no"));
        QVERIFY((Result<void, std::string>{}.has_value()));
    }

    void instant_plusDurations_comparesAndSubtracts()
    {
        const Instant start{1h};
        QVERIFY(start + 2h - 1us < start + 2h);
        QVERIFY((start + 2h) - start == Duration{2h});
        QVERIFY(start - 1h == Instant{});
    }

    void random_ofTheSameSeed_repeats()
    {
        Random a{{1, 2}};
        Random b{{1, 2}};
        Random c{{1, 3}};
        int equal = 0;
        for (int i = 0; i < 1000; ++i) {
            const auto value = a.next();
            QCOMPARE(b.next(), value);
            if (c.next() == value) ++equal;
        }
        QCOMPARE(equal, 0);
    }

    /// Goal Z9's measure: chi-squared over 64 bins of a million numbers. With 63 degrees of freedom
    /// the value is above 103 once in a thousand seeds; this seed is fixed.
    void randomBelow_aMillionTimes_isUniform()
    {
        Random random{{5, 6}};
        std::array<int, 64> bins{};
        for (int i = 0; i < 1000000; ++i)
            ++bins[random.below(64)];
        double chiSquared = 0;
        for (const int count : bins) {
            const double off = count - 1000000.0 / 64;
            chiSquared += off * off / (1000000.0 / 64);
        }
        QVERIFY2(chiSquared < 103, qPrintable(QString::number(chiSquared)));
        QVERIFY(chiSquared > 30);
    }

    void randomBelow_ofEveryBound_staysBelow()
    {
        Random random{{7, 8}};
        for (std::uint32_t bound = 1; bound < 2000; ++bound) {
            QVERIFY(random.below(bound) < bound);
        }
        QCOMPARE(random.below(1), 0U);
        QVERIFY(random.below(0xffffffff) < 0xffffffff);
    }

    void sipHash_ofRandomWords_equalsTheObviousOne()
    {
        Random random{{9, 10}};
        for (int i = 0; i < 10000; ++i) {
            const HashKey key{random.next(), random.next()};
            const auto a = random.next();
            const auto b = random.next();
            QCOMPARE(sipHash(key, a, b), obviousSipHash(key, a, b));
        }
    }

    void sipHash_withOneBitChanged_changesHalfOfTheBits()
    {
        int changed = 0;
        for (int bit = 0; bit < 64; ++bit) {
            changed += std::popcount(sipHash({1, 2}, 3, 4) ^ sipHash({1, 2}, 3 ^ (1ULL << bit), 4));
        }
        QVERIFY(changed > 64 * 28 && changed < 64 * 36);
    }

    void queue_againstADeque_agreesAndNeverGrows()
    {
        BoundedQueue<int> queue(5);
        std::deque<int> obvious;
        Random random{{11, 12}};
        std::uint64_t refused = 0;
        for (int i = 0; i < 10000; ++i) {
            if (random.below(2) == 0) {
                const bool room = obvious.size() < 5;
                QCOMPARE(queue.push(i), room);
                room ? obvious.push_back(i) : static_cast<void>(++refused);
            } else if (!obvious.empty()) {
                QCOMPARE(queue.pop(), obvious.front());
                obvious.pop_front();
            }
            QCOMPARE(queue.size(), obvious.size());
            QCOMPARE(queue.empty(), obvious.empty());
        }
        QCOMPARE(queue.refused(), refused);
        QVERIFY(refused > 0);
        QCOMPARE(queue.capacity(), std::size_t{5});
    }

    // Requirement G5: every reason has a name of its own and a sentence.
    void dropReasons_allOfThem_haveNameAndSentence()
    {
        std::set<std::string_view> names;
        std::set<std::string_view> sentences;
        for (const auto& text : kDropReasons) {
            QVERIFY(names.insert(text.name).second);
            QVERIFY(sentences.insert(text.sentence).second);
            QVERIFY(text.sentence.ends_with('.'));
            QCOMPARE(nameOf(text.reason), text.name);
            QCOMPARE(sentenceOf(text.reason), text.sentence);
        }
        QCOMPARE(nameOf(DropReason::EgressGuard), std::string_view("EgressGuard"));
    }
};

QTEST_APPLESS_MAIN(BaseTest)
#include "base_test.moc"
