#pragma once

#include "engine/snapshot.h"
#include "ui/models/row_model.h"
#include "ui/values/presentation.h"

#include <QCoreApplication>

#include <optional>
#include <string>

namespace ui {

struct ConnectionFilter {
    enum class Kind : std::uint8_t { All, Tcp, Udp, Other };
    Kind kind = Kind::All;
    bool unansweredOnly = false;
    bool tunnelsOnly = false;
    QString text;
    std::optional<engine::net::Ipv4Address> device;
    std::uint64_t tunnelSerial = 0;  ///< 0: any
    [[nodiscard]] int parts() const
    {
        return (kind != Kind::All) + unansweredOnly + tunnelsOnly + !text.isEmpty() +
               device.has_value() + (tunnelSerial != 0);
    }
    friend bool operator==(const ConnectionFilter&, const ConnectionFilter&) = default;
};

/// Sessions of the NAT. Made for 100,000 of them.
class ConnectionModel final : public RowModel<engine::SessionRecord> {
    Q_DECLARE_TR_FUNCTIONS(ConnectionModel)
    Q_DISABLE_COPY_MOVE(ConnectionModel)

public:
    enum Column {
        Protocol,
        Device,
        Remote,
        External,
        State,
        For,
        LastPacket,
        Expires,
        Inbound,
        Outbound,
        ColumnCount,
    };

    ConnectionModel(const Presentation& presentation, QObject* parent);

    void setSessions(std::vector<engine::SessionRecord> sessions, engine::Instant at);
    void setFilter(const ConnectionFilter& filter);
    [[nodiscard]] const ConnectionFilter& filter() const { return m_filter; }
    void presentationChanged() { retell(); }

protected:
    [[nodiscard]] Id idOf(const engine::SessionRecord& row) const override { return row.serial; }
    [[nodiscard]] bool accepts(const engine::SessionRecord& row) const override;
    [[nodiscard]] bool less(const engine::SessionRecord& a, const engine::SessionRecord& b,
                            int column) const override;
    [[nodiscard]] QString text(const engine::SessionRecord& row, int column) const override;
    [[nodiscard]] QString sentence(const engine::SessionRecord& row) const override;
    [[nodiscard]] QVariant extra(const engine::SessionRecord& row, int column,
                                 int role) const override;
    [[nodiscard]] bool isNumber(int column) const override;

private:
    /// One word of the filter, worked out once: devices it names and the octets it is.
    struct Word {
        std::string octets;
        std::vector<engine::net::Ipv4Address> devices;
        QString text;
    };
    [[nodiscard]] QString stateText(const engine::SessionRecord& row) const;
    [[nodiscard]] bool matches(const engine::SessionRecord& row, const Word& word) const;

    const Presentation& m_presentation;
    ConnectionFilter m_filter;
    std::vector<Word> m_words;
    engine::Instant m_at;
};

}  // namespace ui
