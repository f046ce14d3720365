#include "ui/theme/symbol.h"

#include <QFile>
#include <QGuiApplication>
#include <QIconEngine>
#include <QPainterPath>
#include <QSvgRenderer>

// Q_INIT_RESOURCE declares a function and so must stand outside of namespaces.
static void initialiseResources()
{
    Q_INIT_RESOURCE(underpass_icons);
}

namespace ui {

void loadSymbols()
{
    initialiseResources();
}

namespace {

QString fileOf(Symbol symbol)
{
    const auto file = [](const char* name) {
        return QStringLiteral(":/underpass/icons/%1.svg").arg(QLatin1String(name));
    };
    switch (symbol) {
    case Symbol::Overview: return file("overview");
    case Symbol::Tunnels: return file("tunnels");
    case Symbol::Connections: return file("connections");
    case Symbol::Devices: return file("devices");
    case Symbol::History: return file("history");
    case Symbol::Passthrough: return file("passthrough");
    case Symbol::PortForwards: return file("port-forwards");
    case Symbol::Network: return file("network");
    case Symbol::Events: return file("events");
    case Symbol::Settings: return file("settings");
    case Symbol::Search: return file("search");
    case Symbol::Close: return file("close");
    case Symbol::Add: return file("add");
    case Symbol::Remove: return file("remove");
    case Symbol::Edit: return file("edit");
    case Symbol::Copy: return file("copy");
    case Symbol::Export: return file("export");
    case Symbol::Freeze: return file("freeze");
    case Symbol::Play: return file("play");
    case Symbol::Warning: return file("warning");
    case Symbol::Information: return file("information");
    case Symbol::Check: return file("check");
    case Symbol::Cross: return file("close");
    case Symbol::Down: return file("down");
    case Symbol::Up: return file("up");
    case Symbol::Right: return file("right");
    case Symbol::Undo: return file("undo");
    case Symbol::Refresh: return file("refresh");
    case Symbol::Menu: return file("menu");
    case Symbol::Lab: return file("lab");
    case Symbol::Share: return file("share");
    case Symbol::Logo: return file("logo");
    }
    return {};
}

class SymbolEngine final : public QIconEngine {
public:
    explicit SymbolEngine(Symbol symbol) : m_symbol(symbol) {}

    void paint(QPainter* painter, const QRect& rect, QIcon::Mode mode, QIcon::State state) override
    {
        const Colours& colours = currentColours();
        QColor colour = colours.text;
        if (mode == QIcon::Disabled) colour = colours.mutedText;
        if (state == QIcon::On) colour = colours.accent;
        paintSymbol(*painter, rect, m_symbol, colour);
    }
    QPixmap pixmap(const QSize& size, QIcon::Mode mode, QIcon::State state) override
    {
        QPixmap pixmap(size);
        pixmap.fill(Qt::transparent);
        QPainter painter(&pixmap);
        paint(&painter, QRect(QPoint(), size), mode, state);
        return pixmap;
    }
    [[nodiscard]] QIconEngine* clone() const override { return new SymbolEngine(*this); }

private:
    Symbol m_symbol;
};

}  // namespace

QIcon iconOf(Symbol symbol)
{
    return QIcon(new SymbolEngine(symbol));
}

void paintSymbol(QPainter& painter, const QRectF& where, Symbol symbol, const QColor& colour)
{
    QFile file(fileOf(symbol));
    if (!file.open(QIODevice::ReadOnly)) return;
    QByteArray drawing = file.readAll();
    drawing.replace("currentColor", colour.name().toLatin1());
    QSvgRenderer renderer(drawing);
    const double side = std::min(where.width(), where.height());
    QRectF square(0, 0, side, side);
    square.moveCenter(where.center());
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing);
    renderer.render(&painter, square);
    painter.restore();
}

void paintShape(QPainter& painter, const QRectF& where, Shape shape, const QColor& colour)
{
    const double side = std::min(where.width(), where.height());
    QRectF r(0, 0, side, side);
    r.moveCenter(where.center());
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(Qt::NoPen);
    painter.setBrush(colour);
    const double line = std::max(1.5, side * 0.18);
    const QRectF inner = r.adjusted(line / 2, line / 2, -line / 2, -line / 2);
    switch (shape) {
    case Shape::Dots:
        for (int i = 0; i < 3; ++i) {
            const double d = side * 0.26;
            painter.drawEllipse(
                QRectF(r.left() + i * (side - d) / 2, r.center().y() - d / 2, d, d));
        }
        break;
    case Shape::Disc: painter.drawEllipse(r); break;
    case Shape::HalfDisc:
        painter.drawPie(r, 90 * 16, 180 * 16);
        painter.setBrush(Qt::NoBrush);
        painter.setPen(QPen(colour, line * 0.8));
        painter.drawEllipse(inner);
        break;
    case Shape::Ring:
        painter.setBrush(Qt::NoBrush);
        painter.setPen(QPen(colour, line));
        painter.drawEllipse(inner);
        break;
    case Shape::Bars:
        painter.drawRoundedRect(QRectF(r.left() + side * 0.12, r.top(), side * 0.28, side), 1, 1);
        painter.drawRoundedRect(QRectF(r.right() - side * 0.40, r.top(), side * 0.28, side), 1, 1);
        break;
    case Shape::Square:
        painter.drawRoundedRect(r.adjusted(side * 0.1, side * 0.1, -side * 0.1, -side * 0.1), 1.5,
                                1.5);
        break;
    case Shape::Cross: {
        painter.setPen(QPen(colour, line * 1.2, Qt::SolidLine, Qt::RoundCap));
        const QRectF c = r.adjusted(line * 0.7, line * 0.7, -line * 0.7, -line * 0.7);
        painter.drawLine(c.topLeft(), c.bottomRight());
        painter.drawLine(c.topRight(), c.bottomLeft());
        break;
    }
    case Shape::Triangle: {
        QPainterPath path;
        path.moveTo(r.center().x(), r.top() + side * 0.04);
        path.lineTo(r.right(), r.bottom() - side * 0.06);
        path.lineTo(r.left(), r.bottom() - side * 0.06);
        path.closeSubpath();
        painter.setPen(QPen(colour, 1, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
        painter.drawPath(path);
        break;
    }
    case Shape::Diamond: {
        QPainterPath path;
        path.moveTo(r.center().x(), r.top());
        path.lineTo(r.right(), r.center().y());
        path.lineTo(r.center().x(), r.bottom());
        path.lineTo(r.left(), r.center().y());
        path.closeSubpath();
        painter.drawPath(path);
        break;
    }
    }
    painter.restore();
}

}  // namespace ui
