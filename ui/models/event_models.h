#pragma once

#include "engine/event.h"
#include "ui/models/row_model.h"
#include "ui/theme/symbol.h"
#include "ui/values/presentation.h"

#include <QCoreApplication>

namespace ui {

/// One line of the event list, as it was said when it happened.
struct EventRow {
    std::uint64_t serial = 0;
    engine::Instant at;
    Meaning meaning = Meaning::Neutral;
    Shape shape = Shape::Ring;
    QString kind;
    QString text;
    engine::net::Ipv4Address device;  ///< unspecified: none
};

/// What the engine has announced since the window opened. Bounded: the oldest go first.
class EventModel final : public RowModel<EventRow> {
    Q_DECLARE_TR_FUNCTIONS(EventModel)
    Q_DISABLE_COPY_MOVE(EventModel)

public:
    static constexpr std::size_t kMost = 2000;
    enum Column { Time, Kind, Device, What, ColumnCount };
    EventModel(const Presentation& presentation, QObject* parent);
    void add(const std::vector<engine::Event>& events);
    void clear();
    void setText(const QString& text);
    void presentationChanged() { retell(); }

protected:
    [[nodiscard]] Id idOf(const EventRow& row) const override { return row.serial; }
    [[nodiscard]] bool accepts(const EventRow& row) const override;
    [[nodiscard]] bool less(const EventRow& a, const EventRow& b, int column) const override;
    [[nodiscard]] QString text(const EventRow& row, int column) const override;
    [[nodiscard]] QString sentence(const EventRow& row) const override;
    [[nodiscard]] QVariant extra(const EventRow& row, int column, int role) const override;

private:
    const Presentation& m_presentation;
    std::vector<EventRow> m_rows;
    std::map<std::uint64_t, engine::tunnel::Phase> m_phases;  ///< of tunnels already announced
    std::uint64_t m_next = 1;
    QString m_text;
};

/// A reason for dropping packets, with its count.
struct DropRow {
    engine::DropReason reason = engine::DropReason::MalformedIp;
    std::uint64_t count = 0;
};

/// Only reasons that have occurred.
class DropModel final : public RowModel<DropRow> {
    Q_DECLARE_TR_FUNCTIONS(DropModel)
    Q_DISABLE_COPY_MOVE(DropModel)

public:
    enum Column { Packets, Reason, ColumnCount };
    DropModel(const Presentation& presentation, QObject* parent);
    void setCounters(const engine::Counters& counters);

protected:
    [[nodiscard]] Id idOf(const DropRow& row) const override { return static_cast<Id>(row.reason); }
    [[nodiscard]] bool accepts(const DropRow& /*row*/) const override { return true; }
    [[nodiscard]] bool less(const DropRow& a, const DropRow& b, int column) const override;
    [[nodiscard]] QString text(const DropRow& row, int column) const override;
    [[nodiscard]] QString sentence(const DropRow& row) const override;
    [[nodiscard]] QVariant extra(const DropRow& row, int column, int role) const override;
    [[nodiscard]] bool isNumber(int column) const override { return column == Packets; }

private:
    const Presentation& m_presentation;
};

}  // namespace ui
