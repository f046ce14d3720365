#pragma once

#include "ui/models/nat_rule_models.h"
#include "ui/widgets/building_blocks.h"

namespace ui {

class Table;

/// The exceptions from how the NAT behaves in general: devices and ports whose NAT type is another,
/// and destinations that are not translated. Part of a form: holds what the user wants, changes
/// nothing itself.
class NatRuleCards final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(NatRuleCards)

public:
    NatRuleCards(const Presentation& presentation, QWidget* parent);
    void setRules(std::vector<engine::nat::BehaviourException> exceptions,
                  std::vector<engine::nat::Untranslated> untranslated);
    void setInternal(const engine::net::Prefix& internal);
    void presentationChanged() { refresh(); }
    [[nodiscard]] const std::vector<engine::nat::BehaviourException>& exceptions() const
    {
        return m_exceptions;
    }
    [[nodiscard]] const std::vector<engine::nat::Untranslated>& untranslated() const
    {
        return m_untranslated;
    }
    /// The first that the engine would refuse, in a sentence; empty: none.
    [[nodiscard]] QString problem() const;

Q_SIGNALS:
    /// The rules, or what is to be said about them.
    void edited();

private:
    /// A card with a heading that adds, a table, and what is done with its selected row.
    struct List {
        Table* table = nullptr;
        SafeLabel* none = nullptr;
        QPushButton* edit = nullptr;
        QPushButton* remove = nullptr;
    };
    template <typename Edit, typename Remove>
    void addList(List& list, const QString& title, const QString& words, const QString& none,
                 const QString& thing, Table* table, Edit edit, Remove remove);
    void editType(std::size_t place);
    void editUntranslated(std::size_t place);
    void removeType(std::size_t place);
    void removeUntranslated(std::size_t place);
    void changed();
    void refresh();
    void updateButtons();

    const Presentation& m_presentation;
    std::optional<engine::net::Prefix> m_internal;
    std::vector<engine::nat::BehaviourException> m_exceptions;
    std::vector<engine::nat::Untranslated> m_untranslated;
    NatTypeModel* m_typeModel;
    UntranslatedModel* m_untranslatedModel;
    List m_types;
    List m_plain;
};

}  // namespace ui
