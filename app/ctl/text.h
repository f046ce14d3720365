#pragma once

#include "engine/tunnel/tunnel.h"

#include <QJsonValue>
#include <QString>
#include <QStringList>

#include <cstdint>
#include <vector>

/// Text for people at a terminal.
namespace app::ctl {

/// Columns padded to their widest cell; cells that look like numbers stand to the right.
class Table {
public:
    explicit Table(QStringList headings) : m_headings(std::move(headings)) {}
    void add(const QStringList& row) { m_rows.push_back(row); }
    [[nodiscard]] bool isEmpty() const { return m_rows.empty(); }
    [[nodiscard]] QString text() const;

private:
    QStringList m_headings;
    std::vector<QStringList> m_rows;
};

/// "12.3 MB"; powers of 1000.
[[nodiscard]] QString octets(std::uint64_t count);
/// "2 h 14 min", "40 s".
[[nodiscard]] QString span(engine::Duration duration);
/// Local date and time of microseconds since 1970; "-" for zero.
[[nodiscard]] QString moment(std::int64_t microseconds);
/// Hostile text without anything a terminal would act on.
[[nodiscard]] QString harmless(const QString& text);

/// The columns of a tunnel in a list, and their headings. `now` and the tunnel share a clock.
[[nodiscard]] QStringList tunnelHeadings();
[[nodiscard]] QStringList tunnelCells(const engine::tunnel::Tunnel& tunnel, engine::Instant now);

void print(const QString& text);
void complain(const QString& program, const QString& sentence);
void printJson(const QJsonValue& value);

}  // namespace app::ctl
