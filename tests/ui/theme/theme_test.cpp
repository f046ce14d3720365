#include "ui/theme/theme.h"

#include "ui/theme/symbol.h"

#include <QFile>
#include <QPixmap>
#include <QRegularExpression>
#include <QWidget>
#include <QtTest>

class ThemeTest : public QObject {
    Q_OBJECT

private Q_SLOTS:
    void everyTextColour_standsOutFromItsGround_data()
    {
        QTest::addColumn<int>("tone");
        QTest::newRow("light") << static_cast<int>(ui::Tone::Light);
        QTest::newRow("dark") << static_cast<int>(ui::Tone::Dark);
    }
    void everyTextColour_standsOutFromItsGround()
    {
        QFETCH(int, tone);
        const auto pairs = ui::textPairs(ui::coloursOf(static_cast<ui::Tone>(tone)));
        QVERIFY(pairs.size() > 60);
        QStringList weak;
        double least = 21;
        for (const auto& pair : pairs) {
            const double ratio = ui::contrast(pair.text, pair.ground);
            if (pair.least >= 4.5) least = std::min(least, ratio);
            if (ratio < pair.least) weak << QStringLiteral("%1 %2").arg(pair.name).arg(ratio);
        }
        qInfo("%d pairs, lowest contrast of text %.2f", static_cast<int>(pairs.size()), least);
        QVERIFY2(weak.isEmpty(), qPrintable(weak.join(QStringLiteral("; "))));
    }

    void contrast_ofBlackOnWhite_isTwentyOne()
    {
        QCOMPARE(qRound(ui::contrast(Qt::black, Qt::white) * 100), 2100);
        QCOMPARE(qRound(ui::contrast(Qt::white, Qt::white) * 100), 100);
    }

    void styleSheet_hasNoUnknownWords()
    {
        for (const auto tone : {ui::Tone::Light, ui::Tone::Dark}) {
            const QString sheet = ui::styleSheetOf(tone);
            static const QRegularExpression word(QStringLiteral("\\{[a-zA-Z]+\\}"));
            QVERIFY2(!word.match(sheet).hasMatch(), qPrintable(word.match(sheet).captured()));
        }
    }

    void tone_followsThePalettesLuminance()
    {
        QCOMPARE(ui::toneOf(ui::paletteOf(ui::Tone::Light)), ui::Tone::Light);
        QCOMPARE(ui::toneOf(ui::paletteOf(ui::Tone::Dark)), ui::Tone::Dark);
    }

    void everySymbol_paintsSomething()
    {
        ui::loadSymbols();
        for (int i = 0; i <= static_cast<int>(ui::Symbol::Logo); ++i) {
            QPixmap pixmap(24, 24);
            pixmap.fill(Qt::white);
            QPainter painter(&pixmap);
            ui::paintSymbol(painter, pixmap.rect(), static_cast<ui::Symbol>(i), Qt::black);
            painter.end();
            const QImage image = pixmap.toImage();
            int dark = 0;
            for (int y = 0; y < 24; ++y) {
                for (int x = 0; x < 24; ++x)
                    dark += qGray(image.pixel(x, y)) < 128 ? 1 : 0;
            }
            QVERIFY2(dark > 8, qPrintable(QString::number(i)));
        }
    }

    void everyShape_looksDifferent()
    {
        QList<QImage> images;
        for (int i = 0; i <= static_cast<int>(ui::Shape::Diamond); ++i) {
            QImage image(16, 16, QImage::Format_Grayscale8);
            image.fill(Qt::white);
            QPainter painter(&image);
            ui::paintShape(painter, QRectF(2, 2, 12, 12), static_cast<ui::Shape>(i), Qt::black);
            painter.end();
            for (const QImage& other : images)
                QVERIFY(image != other);
            images.append(image);
        }
    }
};

QTEST_MAIN(ThemeTest)
#include "theme_test.moc"
