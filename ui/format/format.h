#pragma once

#include "engine/base/time.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/net/prefix.h"
#include "ui/values/window_settings.h"

#include <QLocale>
#include <QString>

#include <cstdint>

namespace ui {

/// Numbers for people, in the locale and the units of the settings. A value.
class Format {
public:
    Format() = default;
    Format(const QLocale& locale, ByteUnits units, bool ratesInBits)
        : m_locale(locale), m_units(units), m_ratesInBits(ratesInBits)
    {}

    /// "0 B", "740 B", "12.3 MB".
    [[nodiscard]] QString bytes(std::uint64_t octets) const;
    /// From octets per second: "41 Mbit/s" or "5.1 MB/s".
    [[nodiscard]] QString rate(double octetsPerSecond) const;
    [[nodiscard]] QString count(std::uint64_t number) const;
    /// 0.061 → "6 %", 0.0004 → "0.04 %".
    [[nodiscard]] QString percent(double fraction) const;
    /// The two largest units: "2 h 14 min", "40 s", "3 d 2 h". Below a second: "0 s".
    [[nodiscard]] QString duration(engine::Duration span) const;
    /// The largest unit alone, for table cells: "2 h".
    [[nodiscard]] QString shortDuration(engine::Duration span) const;
    /// "18 ms", "1.2 s".
    [[nodiscard]] QString milliseconds(engine::Duration span) const;
    [[nodiscard]] const QLocale& locale() const { return m_locale; }

private:
    QLocale m_locale;
    ByteUnits m_units = ByteUnits::Decimal;
    bool m_ratesInBits = true;
};

/// Addresses stay as they are in every locale.
[[nodiscard]] QString textOf(engine::net::Ipv4Address address);
/// Without a port when it is 0.
[[nodiscard]] QString textOf(const engine::net::Endpoint& endpoint);
[[nodiscard]] QString textOf(const engine::net::Prefix& prefix);
/// "443" or "5000–5010".
[[nodiscard]] QString textOf(const engine::net::PortRange& range);
/// "TCP", "GRE"; others "protocol 99".
[[nodiscard]] QString nameOf(engine::net::IpProtocol protocol);
/// Eight hexadecimal digits, as IPsec tools write SPIs: "c1d2e3f4".
[[nodiscard]] QString spi(std::uint32_t value);

/// Text from the network made safe to show: control characters, line ends and marks that reorder
/// text are gone, and it is no longer than `longest`.
[[nodiscard]] QString safeText(QStringView text, int longest = 96);
[[nodiscard]] QString safeText(const std::string& utf8, int longest = 96);

}  // namespace ui
