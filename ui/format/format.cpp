#include "ui/format/format.h"

#include <QCoreApplication>

#include <array>
#include <cmath>

namespace ui {

namespace {

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Format)
};

/// Three significant digits at most, none after the point from 100 on.
QString shortNumber(const QLocale& locale, double number)
{
    const int decimals = number >= 99.95 || number == std::floor(number) ? 0
                         : number >= 9.995                               ? 1
                                                                         : 2;
    QString text = locale.toString(number, 'f', decimals);
    if (decimals > 0) {
        while (text.endsWith(locale.zeroDigit()))
            text.chop(1);
        if (text.endsWith(locale.decimalPoint())) text.chop(locale.decimalPoint().size());
    }
    return text;
}

QString scaled(const QLocale& locale, double number, double step,
               const std::array<const char*, 6>& units)
{
    std::size_t unit = 0;
    while (number >= step * 0.9995 && unit + 1 < units.size()) {
        number /= step;
        ++unit;
    }
    if (unit == 0) number = std::round(number);
    return shortNumber(locale, number) + QChar(0x00A0) + QLatin1String(units[unit]);
}

constexpr std::array<const char*, 6> kDecimal{"B", "kB", "MB", "GB", "TB", "PB"};
constexpr std::array<const char*, 6> kBinary{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
constexpr std::array<const char*, 6> kBits{"bit/s",  "kbit/s", "Mbit/s",
                                           "Gbit/s", "Tbit/s", "Pbit/s"};
constexpr std::array<const char*, 6> kDecimalRate{"B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s"};
constexpr std::array<const char*, 6> kBinaryRate{"B/s",   "KiB/s", "MiB/s",
                                                 "GiB/s", "TiB/s", "PiB/s"};

}  // namespace

QString Format::bytes(std::uint64_t octets) const
{
    const auto number = static_cast<double>(octets);
    return m_units == ByteUnits::Binary ? scaled(m_locale, number, 1024, kBinary)
                                        : scaled(m_locale, number, 1000, kDecimal);
}

QString Format::rate(double octetsPerSecond) const
{
    const double number = std::max(0.0, octetsPerSecond);
    if (m_ratesInBits) return scaled(m_locale, number * 8, 1000, kBits);
    return m_units == ByteUnits::Binary ? scaled(m_locale, number, 1024, kBinaryRate)
                                        : scaled(m_locale, number, 1000, kDecimalRate);
}

QString Format::count(std::uint64_t number) const
{
    return m_locale.toString(static_cast<qulonglong>(number));
}

QString Format::percent(double fraction) const
{
    const double hundredths = fraction * 100;
    const int decimals = hundredths == 0 || hundredths >= 1 ? 0 : hundredths >= 0.1 ? 1 : 2;
    if (hundredths > 0 && hundredths < 0.005) {
        return Words::tr("under %1 %").arg(m_locale.toString(0.01, 'f', 2));
    }
    return m_locale.toString(hundredths, 'f', decimals) + QChar(0x00A0) + m_locale.percent();
}

QString Format::duration(engine::Duration span) const
{
    using namespace std::chrono;
    const auto whole = std::max<std::int64_t>(0, duration_cast<seconds>(span).count());
    const auto text = [this](std::int64_t n) {
        return m_locale.toString(static_cast<qlonglong>(n));
    };
    const QChar gap(0x00A0);
    if (whole < 60) return Words::tr("%1 s").arg(text(whole)).replace(QLatin1Char(' '), gap);
    QString shown;
    if (whole < 600) {
        shown = whole % 60 == 0 ? Words::tr("%1 min").arg(text(whole / 60))
                                : Words::tr("%1 min %2 s").arg(text(whole / 60), text(whole % 60));
    } else if (whole < 3600) {
        shown = Words::tr("%1 min").arg(text(whole / 60));
    } else if (whole < 86400) {
        const auto minutes = whole % 3600 / 60;
        shown = minutes == 0 ? Words::tr("%1 h").arg(text(whole / 3600))
                             : Words::tr("%1 h %2 min").arg(text(whole / 3600), text(minutes));
    } else {
        const auto hours = whole % 86400 / 3600;
        shown = hours == 0 ? Words::tr("%1 d").arg(text(whole / 86400))
                           : Words::tr("%1 d %2 h").arg(text(whole / 86400), text(hours));
    }
    return shown.replace(QLatin1Char(' '), gap);
}

QString Format::shortDuration(engine::Duration span) const
{
    using namespace std::chrono;
    // What is left below the largest unit is cut off, as a clock does.
    if (span >= days(1)) return duration(duration_cast<days>(span));
    if (span >= hours(1)) return duration(duration_cast<hours>(span));
    if (span >= minutes(1)) return duration(duration_cast<minutes>(span));
    return duration(span);
}

QString Format::milliseconds(engine::Duration span) const
{
    const double ms = std::chrono::duration<double, std::milli>(span).count();
    if (ms < 1000)
        return shortNumber(m_locale, ms < 10 ? std::round(ms * 10) / 10 : std::round(ms)) +
               QChar(0x00A0) + Words::tr("ms");
    return shortNumber(m_locale, std::round(ms / 10) / 100) + QChar(0x00A0) + Words::tr("s");
}

QString textOf(engine::net::Ipv4Address address)
{
    return QString::fromStdString(address.toString());
}

QString textOf(const engine::net::Endpoint& endpoint)
{
    const QString address = textOf(endpoint.address);
    return endpoint.port.hostOrder() == 0
               ? address
               : address + QLatin1Char(':') + QString::number(endpoint.port.hostOrder());
}

QString textOf(const engine::net::Prefix& prefix)
{
    return QString::fromStdString(prefix.toString());
}

QString textOf(const engine::net::PortRange& range)
{
    const QString first = QString::number(range.first.hostOrder());
    return range.first == range.last
               ? first
               : first + QChar(0x2013) + QString::number(range.last.hostOrder());
}

QString nameOf(engine::net::IpProtocol protocol)
{
    using engine::net::IpProtocol;
    switch (protocol) {
    case IpProtocol::Icmp: return QStringLiteral("ICMP");
    case IpProtocol::IpIp: return QStringLiteral("IPIP");
    case IpProtocol::Tcp: return QStringLiteral("TCP");
    case IpProtocol::Udp: return QStringLiteral("UDP");
    case IpProtocol::Dccp: return QStringLiteral("DCCP");
    case IpProtocol::SixInFour: return QStringLiteral("6in4");
    case IpProtocol::Gre: return QStringLiteral("GRE");
    case IpProtocol::Esp: return QStringLiteral("ESP");
    case IpProtocol::Ah: return QStringLiteral("AH");
    case IpProtocol::EtherIp: return QStringLiteral("EtherIP");
    case IpProtocol::IpComp: return QStringLiteral("IPComp");
    case IpProtocol::L2tpV3: return QStringLiteral("L2TPv3");
    case IpProtocol::Sctp: return QStringLiteral("SCTP");
    case IpProtocol::UdpLite: return QStringLiteral("UDP-Lite");
    }
    return Words::tr("protocol %1").arg(static_cast<int>(protocol));
}

QString spi(std::uint32_t value)
{
    return QStringLiteral("%1").arg(value, 8, 16, QLatin1Char('0'));
}

QString safeText(QStringView text, int longest)
{
    QString clean;
    clean.reserve(std::min<qsizetype>(text.size(), longest));
    for (const QChar character : text) {
        if (clean.size() >= longest) {
            clean += QChar(0x2026);
            break;
        }
        const auto category = character.category();
        if (category == QChar::Other_Control || category == QChar::Other_Format ||
            category == QChar::Separator_Line || category == QChar::Separator_Paragraph ||
            category == QChar::Other_PrivateUse || category == QChar::Other_NotAssigned) {
            continue;
        }
        clean += character;
    }
    return clean.trimmed();
}

QString safeText(const std::string& utf8, int longest)
{
    return safeText(QString::fromUtf8(utf8.data(), static_cast<qsizetype>(utf8.size())), longest);
}

}  // namespace ui
