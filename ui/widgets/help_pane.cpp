#include "ui/widgets/help_pane.h"

#include "ui/format/format.h"
#include "ui/text/help_words.h"

#include <QGridLayout>
#include <QScrollArea>
#include <QToolButton>

namespace ui {

HelpPane::HelpPane(QWidget* parent) : QFrame(parent)
{
    setObjectName(QStringLiteral("helpPane"));
    setAccessibleName(tr("Help"));
    setFixedWidth(320);
    auto* outer = new QVBoxLayout(this);
    outer->setContentsMargins(0, kGapWide, kGapWide, kGapWide);
    auto* card = new Card(this);
    outer->addWidget(card);
    auto* head = new QHBoxLayout;
    m_title = new SafeLabel(card, TextSize::Strong);
    auto* close = new QToolButton(card);
    close->setIcon(iconOf(Symbol::Close));
    close->setAccessibleName(tr("Close the help"));
    close->setToolTip(tr("Close the help (F1)"));
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
    head->addWidget(m_title, 1);
    head->addWidget(close);
    card->body()->addLayout(head);

    auto* body = new QWidget(card);
    auto* column = new QVBoxLayout(body);
    column->setContentsMargins(0, 0, kGap, 0);
    column->setSpacing(kGap);
    m_control = new SafeLabel(body, TextSize::Strong);
    m_control->wrapping();
    m_controlWords = new SafeLabel(body);
    m_controlWords->wrapping();
    m_words = new SafeLabel(body);
    m_words->wrapping();
    column->addWidget(m_words);
    column->addWidget(makeLine(body));
    column->addWidget(m_control);
    column->addWidget(m_controlWords);
    column->addWidget(makeLine(body));
    column->addWidget(new SafeLabel(tr("Keys"), body, TextSize::Strong));
    for (const auto& [key, meaning] : keys()) {
        auto* name = new SafeLabel(key, body, TextSize::Caption);
        name->muted();
        auto* words = new SafeLabel(meaning, body);
        words->wrapping();
        column->addWidget(name);
        column->addWidget(words);
    }
    column->addStretch();
    card->body()->addWidget(asScrollPage(body, card), 1);
    hide();
}

void HelpPane::explain(Page page, const QWidget* control)
{
    m_title->setText(nameOf(page));
    m_words->setText(helpOn(page));
    QString name;
    QString words;
    if (control != nullptr) {
        name = safeText(control->accessibleName(), 80);
        words = control->accessibleDescription().isEmpty() ? control->toolTip()
                                                           : control->accessibleDescription();
    }
    m_control->setText(name.isEmpty() ? tr("No control is in use") : name);
    m_controlWords->setText(words.isEmpty()
                                ? tr("Tab goes from control to control; F1 tells about it.")
                                : safeText(words, 300));
}

}  // namespace ui
