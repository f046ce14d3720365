#include "ui/models/nat_rule_models.h"

#include "engine/nat/behaviour_rules.h"
#include "ui/text/words.h"

#include <algorithm>

namespace ui {

using engine::CommandError;
using engine::nat::BehaviourException;
using engine::nat::NatConfig;
using engine::nat::Untranslated;
using engine::net::PortRange;
using engine::net::Prefix;

namespace {

/// Where the texts of this file belong for a translator.
struct NatRules {
    Q_DECLARE_TR_FUNCTIONS(NatRules)
};

bool covers(const Prefix& wide, const Prefix& narrow)
{
    return wide.length() <= narrow.length() && wide.contains(narrow.network());
}

bool covers(const PortRange& wide, const PortRange& narrow)
{
    return wide.first <= narrow.first && narrow.last <= wide.last;
}

RuleRemark refused(CommandError error)
{
    return {Meaning::Bad, (sentenceOf(error) + QLatin1Char(' ') + adviceOn(error)).trimmed()};
}

/// What the rule at this place of the list means beside those around it.
RuleRemark remarkAt(const Presentation& presentation, const std::vector<BehaviourException>& rules,
                    std::size_t place, const std::optional<Prefix>& internal)
{
    const BehaviourException& rule = rules[place];
    if (rule.ports.last < rule.ports.first) return refused(CommandError::RangeInverted);
    if (internal && !internal->overlaps(rule.devices)) return refused(CommandError::NotInternal);
    const auto named = [&](const BehaviourException& other) {
        return NatRules::tr("“%1, %2”")
            .arg(devicesWord(presentation, other.devices), portsWord(other.ports));
    };
    for (std::size_t i = 0; i < place; ++i) {
        const BehaviourException& other = rules[i];
        if (covers(other.devices, rule.devices) && covers(other.ports, rule.ports))
            return {Meaning::Warning,
                    NatRules::tr("Never holds: %1 comes first.").arg(named(other))};
    }
    for (std::size_t i = 0; i < rules.size(); ++i) {
        const BehaviourException& other = rules[i];
        if (i == place || other.behaviour == rule.behaviour ||
            !other.devices.overlaps(rule.devices) || !other.ports.overlaps(rule.ports))
            continue;
        return {Meaning::Neutral, (i < place ? NatRules::tr("Where both match, %1 holds.")
                                             : NatRules::tr("Holds before %1."))
                                      .arg(named(other))};
    }
    return {};
}

}  // namespace

QString portsWord(const PortRange& ports)
{
    return ports == engine::nat::kAllPorts ? NatRules::tr("all ports") : textOf(ports);
}

QString devicesWord(const Presentation& presentation, const Prefix& devices)
{
    if (devices.length() == 0) return NatRules::tr("All devices");
    return devices.length() == 32 ? presentation.deviceNameAndAddress(devices.network())
                                  : textOf(devices);
}

RuleRemark remarkOn(const Presentation& presentation, const BehaviourException& rule,
                    const std::vector<BehaviourException>& others,
                    const std::optional<Prefix>& internal)
{
    const auto same = [&](const BehaviourException& other) {
        return other.devices == rule.devices && other.ports == rule.ports;
    };
    if (std::any_of(others.begin(), others.end(), same)) {
        return {Meaning::Bad,
                NatRules::tr("There is a rule for just these devices and ports. Edit that one.")};
    }
    std::vector<BehaviourException> all = others;
    engine::nat::put(all, rule);
    const auto at = std::find(all.begin(), all.end(), rule);
    return remarkAt(presentation, all, static_cast<std::size_t>(at - all.begin()), internal);
}

RuleRemark remarkOn(const Untranslated& rule, const std::vector<Untranslated>& others,
                    const std::optional<Prefix>& internal)
{
    if (rule.ports.last < rule.ports.first) return refused(CommandError::RangeInverted);
    for (const Untranslated& other : others) {
        if (covers(other.destinations, rule.destinations) && covers(other.ports, rule.ports))
            return {Meaning::Warning, NatRules::tr("“%1, %2” covers this already.")
                                          .arg(textOf(other.destinations), portsWord(other.ports))};
    }
    if (rule.destinations.length() == 0) {
        return {Meaning::Warning,
                NatRules::tr("The whole internet: nothing comes back, unless your provider knows "
                             "the way to the shared network.")};
    }
    if (internal && covers(*internal, rule.destinations))
        return {Meaning::Warning,
                NatRules::tr("That is the shared network itself, which needs no router.")};
    return {};
}

bool isTouched(const engine::SessionRecord& session, const NatConfig& before,
               const NatConfig& after)
{
    const auto protocol = session.protocol;
    if (!engine::net::hasPorts(protocol) && protocol != engine::net::IpProtocol::Icmp) return false;
    const bool plain = engine::nat::isUntranslated(after, session.remote);
    if (engine::nat::isUntranslated(before, session.remote) != plain) return true;
    return !plain && engine::nat::behaviourOf(before, protocol, session.internal) !=
                         engine::nat::behaviourOf(after, protocol, session.internal);
}

// ---- NAT types ----------------------------------------------------------------------------------

NatTypeModel::NatTypeModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("NAT type"), tr("Devices"), tr("Their ports"), tr("Mapping"), tr("Filtering")},
               parent),
      m_presentation(presentation)
{}

void NatTypeModel::setRules(const std::vector<BehaviourException>& rules,
                            const std::optional<Prefix>& internal)
{
    std::vector<NatTypeRow> rows;
    rows.reserve(rules.size());
    for (std::size_t i = 0; i < rules.size(); ++i)
        rows.push_back({rules[i], i + 1, remarkAt(m_presentation, rules, i, internal)});
    replace(std::move(rows));
}

bool NatTypeModel::less(const NatTypeRow& a, const NatTypeRow& b, int /*column*/) const
{
    return a.place < b.place;
}

QString NatTypeModel::text(const NatTypeRow& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case Type: return wordOf(natTypeOf(row.rule.behaviour));
    case Devices: return devicesWord(m_presentation, row.rule.devices);
    case Ports: return portsWord(row.rule.ports);
    case Mapping: return wordOf(row.rule.behaviour.mapping);
    case Filtering: return wordOf(row.rule.behaviour.filtering);
    case ColumnCount: break;
    }
    return {};
}

QString NatTypeModel::sentence(const NatTypeRow& row) const
{
    return tr("%1 for %2, %3: mapping %4, filtering %5. %6")
        .arg(text(row, Type), text(row, Devices), text(row, Ports), text(row, Mapping),
             text(row, Filtering), row.remark.text);
}

QVariant NatTypeModel::extra(const NatTypeRow& row, int column, int role) const
{
    if (role == SecondLineRole && column == Devices) return row.remark.text;
    const bool odd = row.remark.meaning != Meaning::Neutral;
    if (column == Type && role == MeaningRole && odd) return static_cast<int>(row.remark.meaning);
    if (column == Type && role == ShapeRole && odd) return static_cast<int>(Shape::Triangle);
    if (column == Type && role == ShapeRole) {
        switch (natTypeOf(row.rule.behaviour)) {
        case NatType::Open: return static_cast<int>(Shape::Ring);
        case NatType::Moderate: return static_cast<int>(Shape::Disc);
        case NatType::Strict: return static_cast<int>(Shape::Square);
        }
    }
    return {};
}

// ---- without translation ------------------------------------------------------------------------

UntranslatedModel::UntranslatedModel(QObject* parent)
    : RowModel({tr("Destinations"), tr("Their ports"), tr("Remark")}, parent)
{}

void UntranslatedModel::setRules(const std::vector<Untranslated>& rules,
                                 const std::optional<Prefix>& internal)
{
    std::vector<UntranslatedRow> rows;
    rows.reserve(rules.size());
    for (std::size_t i = 0; i < rules.size(); ++i) {
        std::vector<Untranslated> others = rules;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
        rows.push_back({rules[i], i + 1, remarkOn(rules[i], others, internal)});
    }
    replace(std::move(rows));
}

bool UntranslatedModel::less(const UntranslatedRow& a, const UntranslatedRow& b, int column) const
{
    return column == Ports ? a.rule.ports < b.rule.ports
                           : a.rule.destinations < b.rule.destinations;
}

QString UntranslatedModel::text(const UntranslatedRow& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case Destinations: return textOf(row.rule.destinations);
    case Ports: return portsWord(row.rule.ports);
    case Remark: return row.remark.text;
    case ColumnCount: break;
    }
    return {};
}

QString UntranslatedModel::sentence(const UntranslatedRow& row) const
{
    return tr("%1, %2. %3").arg(text(row, Destinations), text(row, Ports), row.remark.text);
}

QVariant UntranslatedModel::extra(const UntranslatedRow& row, int column, int role) const
{
    if (column != Remark || row.remark.meaning == Meaning::Neutral) return {};
    if (role == ShapeRole) return static_cast<int>(Shape::Triangle);
    if (role == MeaningRole) return static_cast<int>(row.remark.meaning);
    return {};
}

}  // namespace ui
