#pragma once

#include "ui/theme/colours.h"
#include "ui/values/presentation.h"

#include <QList>
#include <QWidget>

#include <deque>

class QCustomPlot;

namespace ui {

/// The last minute of something as a small filled curve.
void paintSparkline(QPainter& painter, const QRectF& where, const QList<double>& values,
                    const QColor& colour);

class Sparkline final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(Sparkline)

public:
    explicit Sparkline(QWidget* parent);
    void setValues(const QList<double>& values);
    [[nodiscard]] QSize sizeHint() const override { return {72, 28}; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    QList<double> m_values;
};

/// Names with bars whose lengths compare.
class BarList final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(BarList)

public:
    struct Bar {
        QString name;
        QString second;  ///< muted, behind the name
        QString value;
        double length = 0;
        friend bool operator==(const Bar&, const Bar&) = default;
    };
    explicit BarList(QWidget* parent);
    void setBars(const QList<Bar>& bars);
    [[nodiscard]] QSize sizeHint() const override;
    [[nodiscard]] QSize minimumSizeHint() const override { return {160, sizeHint().height()}; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    QList<Bar> m_bars;
};

/// Ten minutes of throughput, both directions: told apart by colour and by dash.
class ThroughputPlot final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(ThroughputPlot)

public:
    ThroughputPlot(const Presentation& presentation, QWidget* parent);
    /// One sample; at most one a second is kept.
    void add(engine::Instant at, double inbound, double outbound);
    /// Starts over: another engine.
    void clear();
    void presentationChanged();

protected:
    void showEvent(QShowEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    void restyle();
    void redraw();

    struct Sample {
        engine::Instant at;
        double inbound = 0;
        double outbound = 0;
    };
    const Presentation& m_presentation;
    QCustomPlot* m_plot;
    std::deque<Sample> m_samples;
};

}  // namespace ui
