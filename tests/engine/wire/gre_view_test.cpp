#include "engine/wire/gre_view.h"

#include <QtTest>

#include <vector>

using namespace engine;
using namespace engine::wire;

using Bytes = std::vector<std::uint8_t>;

class GreViewTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void parse_ofEnhancedGre_readsCallSequenceAndAcknowledgement()
    {
        Bytes gre{0x30, 0x81, 0x88, 0x0b, 0x00, 0x02, 0xbe, 0xef, 0,
                  0,    0,    5,    0,    0,    0,    4,    0xc0, 0x21};
        auto view = GreView::parse(gre);
        QVERIFY(view);
        QVERIFY(view->isPptp());
        QCOMPARE(view->callId(), std::uint16_t{0xbeef});
        QCOMPARE(view->sequence().value(), 5U);
        QCOMPARE(view->acknowledgement().value(), 4U);
        QCOMPARE(view->payload().size(), std::size_t{2});
        view->rewriteCallId(0x1234);
        QCOMPARE(view->key().value(), 0x00021234U);
    }

    void parse_ofVersion0_findsFieldsBehindTheChecksum()
    {
        Bytes gre{0xb0, 0x00, 0x08, 0x00, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0x45};
        const auto view = GreView::parse(gre);
        QVERIFY(view);
        QVERIFY(!view->isPptp());
        QCOMPARE(view->key().value(), 7U);
        QCOMPARE(view->sequence().value(), 9U);
        QVERIFY(!view->acknowledgement());
        QCOMPARE(view->payload().size(), std::size_t{1});
    }

    void parse_ofEveryFlagCombinationAndCut_neverReadsBeyond()
    {
        for (unsigned first = 0; first < 256; ++first) {
            for (unsigned second = 0; second < 256; ++second) {
                for (std::size_t size = 0; size <= 24; ++size) {
                    Bytes gre(size);
                    if (size > 0) gre[0] = static_cast<std::uint8_t>(first);
                    if (size > 1) gre[1] = static_cast<std::uint8_t>(second);
                    const auto view = GreView::parse(gre);
                    if (!view) continue;
                    QVERIFY(view->headerLength() <= size);
                    QCOMPARE(view->payload().size(), size - view->headerLength());
                    QVERIFY(view->version() <= 1);
                    if (view->version() == 1) QVERIFY(view->key().has_value());
                }
            }
        }
    }

    void parse_ofSourceRouting_refuses()
    {
        Bytes gre(24);
        gre[0] = 0x40;
        QCOMPARE(GreView::parse(gre).error(), ParseError::BadValue);
    }
};

QTEST_APPLESS_MAIN(GreViewTest)
#include "gre_view_test.moc"
