// QCustomPlot's header says "signals" and "foreach".
#undef QT_NO_KEYWORDS
#include "ui/widgets/charts.h"

#include "ui/theme/theme.h"

#include <QEvent>
#include <QPainter>
#include <QPainterPath>
#include <QVBoxLayout>
#include <qcustomplot.h>

#include <algorithm>

namespace ui {

namespace {

constexpr int kBarHeight = 40;
constexpr auto kShown = std::chrono::minutes(10);

/// Writes the axis in the units of the settings; ticks at round numbers of bits or octets.
class RateTicker final : public QCPAxisTicker {
public:
    explicit RateTicker(const Presentation& presentation) : m_presentation(presentation)
    {
        setTickCount(3);
    }

protected:
    QString getTickLabel(double tick, const QLocale& /*locale*/, QChar /*format*/,
                         int /*precision*/) override
    {
        return m_presentation.format.rate(tick);
    }
    double getTickStep(const QCPRange& range) override
    {
        // Rates are kept in octets and shown in bits: round in what is shown.
        const QCPRange bits(range.lower * 8, range.upper * 8);
        return QCPAxisTicker::getTickStep(bits) / 8;
    }

private:
    const Presentation& m_presentation;
};

class MinutesTicker final : public QCPAxisTickerFixed {
public:
    explicit MinutesTicker(const Presentation& presentation) : m_presentation(presentation)
    {
        setTickStep(120);
        setScaleStrategy(ssNone);
    }

protected:
    QString getTickLabel(double tick, const QLocale& /*locale*/, QChar /*format*/,
                         int /*precision*/) override
    {
        if (tick >= -1) return QCoreApplication::translate("ThroughputPlot", "now");
        return QChar(0x2212) +
               m_presentation.format.duration(std::chrono::seconds(static_cast<int>(-tick)));
    }

private:
    const Presentation& m_presentation;
};

}  // namespace

void paintSparkline(QPainter& painter, const QRectF& where, const QList<double>& values,
                    const QColor& colour)
{
    if (values.size() < 2) return;
    const double highest = std::max(1.0, *std::max_element(values.begin(), values.end()));
    const double step = where.width() / 59.0;
    const double start = where.right() - step * static_cast<double>(values.size() - 1);
    QPainterPath line;
    for (qsizetype i = 0; i < values.size(); ++i) {
        const QPointF point(start + step * static_cast<double>(i),
                            where.bottom() - values.at(i) / highest * where.height());
        if (i == 0) {
            line.moveTo(point);
        } else {
            line.lineTo(point);
        }
    }
    QPainterPath area = line;
    area.lineTo(where.right(), where.bottom());
    area.lineTo(start, where.bottom());
    area.closeSubpath();
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing);
    QColor ground = colour;
    ground.setAlphaF(0.16F);
    painter.fillPath(area, ground);
    painter.setPen(QPen(colour, 1.5));
    painter.drawPath(line);
    painter.restore();
}

Sparkline::Sparkline(QWidget* parent) : QWidget(parent)
{
    setFixedSize(sizeHint());
}

void Sparkline::setValues(const QList<double>& values)
{
    m_values = values;
    update();
}

void Sparkline::paintEvent(QPaintEvent* /*event*/)
{
    QPainter painter(this);
    paintSparkline(painter, QRectF(rect()).adjusted(1, 3, -1, -3), m_values,
                   currentColours().inbound);
}

BarList::BarList(QWidget* parent) : QWidget(parent)
{
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

void BarList::setBars(const QList<Bar>& bars)
{
    if (bars == m_bars) return;
    const bool resized = bars.size() != m_bars.size();
    m_bars = bars;
    QStringList spoken;
    for (const Bar& bar : m_bars)
        spoken << bar.name + QStringLiteral(" ") + bar.value;
    setAccessibleDescription(spoken.join(QStringLiteral(", ")));
    if (resized) updateGeometry();
    update();
}

QSize BarList::sizeHint() const
{
    return {280, static_cast<int>(std::max<qsizetype>(1, m_bars.size())) * kBarHeight};
}

void BarList::paintEvent(QPaintEvent* /*event*/)
{
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    const Colours& colours = currentColours();
    int y = 0;
    for (const Bar& bar : m_bars) {
        const QRect row(0, y, width(), kBarHeight);
        painter.setPen(colours.mutedText);
        const int valueWidth = fontMetrics().horizontalAdvance(bar.value);
        painter.drawText(row.adjusted(0, 4, 0, -16), Qt::AlignRight | Qt::AlignVCenter, bar.value);
        painter.setPen(colours.text);
        const int room = width() - valueWidth - kGapWide;
        const QString name = fontMetrics().elidedText(bar.name, Qt::ElideRight, room);
        painter.drawText(row.adjusted(0, 4, 0, -16), Qt::AlignLeft | Qt::AlignVCenter, name);
        const int nameWidth = fontMetrics().horizontalAdvance(name) + kGap;
        if (!bar.second.isEmpty() &&
            nameWidth + fontMetrics().horizontalAdvance(bar.second) < room) {
            painter.setPen(colours.mutedText);
            painter.drawText(row.adjusted(nameWidth, 4, 0, -16), Qt::AlignLeft | Qt::AlignVCenter,
                             bar.second);
        }
        const QRectF track(0, y + kBarHeight - 14, width(), 6);
        painter.setPen(Qt::NoPen);
        painter.setBrush(colours.raised);
        painter.drawRoundedRect(track, 3, 3);
        if (bar.length > 0) {
            painter.setBrush(colours.inbound);
            painter.drawRoundedRect(
                QRectF(0, track.top(), std::max(6.0, width() * std::min(1.0, bar.length)), 6), 3,
                3);
        }
        y += kBarHeight;
    }
}

ThroughputPlot::ThroughputPlot(const Presentation& presentation, QWidget* parent)
    : QWidget(parent), m_presentation(presentation), m_plot(new QCustomPlot(this))
{
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->addWidget(m_plot);
    m_plot->setFocusPolicy(Qt::NoFocus);
    m_plot->setAttribute(Qt::WA_TransparentForMouseEvents);
    m_plot->setMinimumHeight(112);
    m_plot->setBufferDevicePixelRatio(devicePixelRatioF());
    m_plot->addGraph();
    m_plot->addGraph();
    m_plot->graph(0)->setName(tr("↓ in"));
    m_plot->graph(1)->setName(tr("↑ out"));
    m_plot->xAxis->setTicker(QSharedPointer<MinutesTicker>::create(presentation));
    m_plot->yAxis->setTicker(QSharedPointer<RateTicker>::create(presentation));
    m_plot->xAxis->setRange(-600, 0);
    m_plot->yAxis->setRange(0, 125000);
    m_plot->axisRect()->setAutoMargins(QCP::msLeft | QCP::msBottom | QCP::msRight);
    m_plot->axisRect()->setMargins(QMargins(0, 4, 8, 0));
    m_plot->axisRect()->setMinimumMargins(QMargins(0, 4, 24, 0));
    // Above the grid, at its right edge: the empty column before it takes what is left.
    m_plot->legend->setVisible(true);
    m_plot->legend->setFillOrder(QCPLegend::foColumnsFirst);
    m_plot->legend->setMargins(QMargins(0, 0, 0, 0));
    auto* above = new QCPLayoutGrid;
    m_plot->plotLayout()->insertRow(0);
    m_plot->plotLayout()->addElement(0, 0, above);
    auto* empty = new QCPLayoutElement(m_plot);
    above->addElement(0, 0, empty);
    above->addElement(0, 1, m_plot->legend);
    above->setColumnStretchFactor(1, 0.001);
    m_plot->plotLayout()->setRowStretchFactor(0, 0.001);
    // The lowest speed and the oldest minute meet in the corner.
    m_plot->xAxis->setTickLabelPadding(10);
    setAccessibleName(tr("Throughput of the last ten minutes"));
    restyle();
}

void ThroughputPlot::clear()
{
    m_samples.clear();
    redraw();
}

void ThroughputPlot::add(engine::Instant at, double inbound, double outbound)
{
    if (!m_samples.empty() && at < m_samples.back().at) m_samples.clear();
    if (!m_samples.empty() && at - m_samples.back().at < std::chrono::milliseconds(950)) return;
    m_samples.push_back({at, inbound, outbound});
    while (at - m_samples.front().at > kShown)
        m_samples.pop_front();
    setAccessibleDescription(
        tr("Now %1 in, %2 out")
            .arg(m_presentation.format.rate(inbound), m_presentation.format.rate(outbound)));
    if (isVisible()) redraw();
}

void ThroughputPlot::presentationChanged()
{
    redraw();
}

void ThroughputPlot::redraw()
{
    QVector<double> times;
    QVector<double> in;
    QVector<double> out;
    double highest = 125000;  // an axis of at least 1 Mbit/s, so that idling looks idle
    for (const Sample& sample : m_samples) {
        times.append(-std::chrono::duration<double>(m_samples.back().at - sample.at).count());
        in.append(sample.inbound);
        out.append(sample.outbound);
        highest = std::max({highest, sample.inbound, sample.outbound});
    }
    m_plot->graph(0)->setData(times, in, true);
    m_plot->graph(1)->setData(times, out, true);
    m_plot->yAxis->setRange(0, highest * 1.4);
    // A young plot fills its width instead of waiting for ten minutes.
    const double age = times.isEmpty() ? 0 : -times.front();
    const double shown = age < 110 ? 120 : age < 290 ? 300 : 600;
    m_plot->xAxis->setRange(-shown, 0);
    qSharedPointerCast<MinutesTicker>(m_plot->xAxis->ticker())->setTickStep(shown < 600 ? 60 : 120);
    m_plot->replot(QCustomPlot::rpQueuedReplot);
}

void ThroughputPlot::restyle()
{
    const Colours& colours = currentColours();
    m_plot->setBackground(colours.surface);
    const QFont small = fontOf(TextSize::Caption);
    for (QCPAxis* axis : {m_plot->xAxis, m_plot->yAxis}) {
        axis->setBasePen(QPen(colours.border));
        axis->setTickPen(Qt::NoPen);
        axis->setSubTickPen(Qt::NoPen);
        axis->setTickLabelColor(colours.mutedText);
        axis->setTickLabelFont(small);
        axis->grid()->setPen(QPen(colours.border, 1));
        axis->grid()->setZeroLinePen(QPen(colours.border, 1));
    }
    m_plot->yAxis->setBasePen(Qt::NoPen);
    m_plot->xAxis->grid()->setVisible(false);
    QColor ground = colours.inbound;
    ground.setAlphaF(0.14F);
    m_plot->graph(0)->setPen(QPen(colours.inbound, 1.8));
    m_plot->graph(0)->setBrush(ground);
    m_plot->graph(1)->setPen(QPen(colours.outbound, 1.8, Qt::DashLine));
    m_plot->legend->setBrush(Qt::NoBrush);
    m_plot->legend->setBorderPen(Qt::NoPen);
    m_plot->legend->setTextColor(colours.mutedText);
    m_plot->legend->setFont(small);
    m_plot->replot(QCustomPlot::rpQueuedReplot);
}

void ThroughputPlot::showEvent(QShowEvent* event)
{
    QWidget::showEvent(event);
    // While hidden it only remembers.
    redraw();
}

void ThroughputPlot::changeEvent(QEvent* event)
{
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange) restyle();
}

}  // namespace ui
