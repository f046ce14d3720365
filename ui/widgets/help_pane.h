#pragma once

#include "ui/page.h"
#include "ui/widgets/building_blocks.h"

namespace ui {

/// What F1 opens beside the page: the control in use, the page, all keys.
class HelpPane final : public QFrame {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(HelpPane)

public:
    explicit HelpPane(QWidget* parent);
    /// `control` may be null; its own accessible name, description and tool tip are what is said.
    void explain(Page page, const QWidget* control);

private:
    SafeLabel* m_title;
    SafeLabel* m_words;
    SafeLabel* m_control;
    SafeLabel* m_controlWords;
};

}  // namespace ui
