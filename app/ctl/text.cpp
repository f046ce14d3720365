#include "app/ctl/text.h"

#include "app/qt_text.h"
#include "app/words.h"

#include <QDateTime>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>

#include <array>
#include <cstdio>

namespace app::ctl {

namespace {

bool isNumber(const QString& cell)
{
    return !cell.isEmpty() && (cell.at(0).isDigit() || cell == QLatin1String("-")) &&
           !cell.contains(QLatin1Char('.')) && !cell.contains(QLatin1Char(':')) &&
           !cell.contains(QLatin1Char('-'));
}

void write(std::FILE* stream, const QString& text)
{
    const QByteArray octets = text.toUtf8();
    std::fwrite(octets.constData(), 1, static_cast<std::size_t>(octets.size()), stream);
    std::fflush(stream);
}

}  // namespace

QString Table::text() const
{
    const auto columns = static_cast<std::size_t>(m_headings.size());
    std::vector<qsizetype> widths(columns, 0);
    std::vector<bool> numbers(columns, !m_rows.empty());
    const auto measure = [&](const QStringList& row) {
        for (qsizetype i = 0; i < row.size() && i < m_headings.size(); ++i) {
            auto& width = widths[static_cast<std::size_t>(i)];
            width = std::max(width, row.at(i).size());
        }
    };
    measure(m_headings);
    for (const QStringList& row : m_rows) {
        measure(row);
        for (qsizetype i = 0; i < row.size() && i < m_headings.size(); ++i) {
            if (!isNumber(row.at(i))) numbers[static_cast<std::size_t>(i)] = false;
        }
    }
    QString result;
    const auto line = [&](const QStringList& row) {
        QString text;
        for (qsizetype i = 0; i < m_headings.size(); ++i) {
            const QString cell = i < row.size() ? row.at(i) : QString();
            const auto index = static_cast<std::size_t>(i);
            if (i > 0) text += QStringLiteral("  ");
            text += numbers[index] ? cell.rightJustified(widths[index])
                                   : cell.leftJustified(widths[index]);
        }
        while (text.endsWith(QLatin1Char(' '))) {
            text.chop(1);
        }
        result += text + QLatin1Char('\n');
    };
    line(m_headings);
    for (const QStringList& row : m_rows) {
        line(row);
    }
    return result;
}

QString octets(std::uint64_t count)
{
    constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB", "PB"};
    double value = static_cast<double>(count);
    std::size_t unit = 0;
    while (value >= 1000 && unit + 1 < kUnits.size()) {
        value /= 1000;
        ++unit;
    }
    return QString::number(value, 'f', unit == 0 || value >= 100 ? 0 : 1) + QLatin1Char(' ') +
           QLatin1String(kUnits[unit]);
}

QString span(engine::Duration duration)
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
    if (seconds < 0) return QStringLiteral("0 s");
    if (seconds < 60) return QStringLiteral("%1 s").arg(seconds);
    if (seconds < 3600) return QStringLiteral("%1 min %2 s").arg(seconds / 60).arg(seconds % 60);
    if (seconds < 86400) {
        return QStringLiteral("%1 h %2 min").arg(seconds / 3600).arg(seconds % 3600 / 60);
    }
    return QStringLiteral("%1 d %2 h").arg(seconds / 86400).arg(seconds % 86400 / 3600);
}

QString moment(std::int64_t microseconds)
{
    if (microseconds == 0) return QStringLiteral("-");
    return QDateTime::fromMSecsSinceEpoch(microseconds / 1000)
        .toString(QStringLiteral("yyyy-MM-dd HH:mm:ss"));
}

QString harmless(const QString& text)
{
    QString result;
    for (const QChar c : text) {
        result += c.isPrint() ? c : QChar(u'?');
    }
    return result;
}

QStringList tunnelHeadings()
{
    return {QStringLiteral("ID"),     QStringLiteral("STATE"),  QStringLiteral("PROTOCOL"),
            QStringLiteral("SURE"),   QStringLiteral("DEVICE"), QStringLiteral("SERVER"),
            QStringLiteral("PASSES"), QStringLiteral("FOR"),    QStringLiteral("OUT"),
            QStringLiteral("IN")};
}

QStringList tunnelCells(const engine::tunnel::Tunnel& tunnel, engine::Instant now)
{
    const engine::Instant end = tunnel.ended == engine::Instant{} ? now : tunnel.ended;
    QString server = tunnel.server.port.hostOrder() == 0 ? qt(tunnel.server.address.toString())
                                                         : qt(tunnel.server.toString());
    if (!tunnel.serverName.empty()) {
        server = harmless(QString::fromStdString(tunnel.serverName)) + QStringLiteral(" (") +
                 server + QLatin1Char(')');
    }
    return {QString::number(tunnel.serial),
            qt(wordOf(tunnel.phase)),
            qt(engine::net::textOf(tunnel.protocol).name),
            qt(wordOf(tunnel.confidence)),
            qt(tunnel.device.toString()),
            server,
            qt(passageText(tunnel.passage)),
            span(end - tunnel.started),
            octets(tunnel.outbound.bytes),
            octets(tunnel.inbound.bytes)};
}

void print(const QString& text)
{
    write(stdout, text);
}

void complain(const QString& program, const QString& sentence)
{
    write(stderr, program + QStringLiteral(": ") + sentence + QLatin1Char('\n'));
}

void printJson(const QJsonValue& value)
{
    const QJsonDocument document =
        value.isArray() ? QJsonDocument(value.toArray()) : QJsonDocument(value.toObject());
    write(stdout, QString::fromUtf8(document.toJson(QJsonDocument::Indented)));
}

}  // namespace app::ctl
