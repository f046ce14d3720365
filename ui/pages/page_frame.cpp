#include "ui/pages/page_frame.h"

#include <QAction>

namespace ui {

PageFrame::PageFrame(const QString& title, const QString& question, QWidget* parent)
    : QWidget(parent), m_column(new QVBoxLayout(this)), m_actions(new QHBoxLayout)
{
    setAccessibleName(title);
    m_column->setContentsMargins(kGapPage, kGapWide, kGapPage, kGapWide);
    m_column->setSpacing(kGapWide);
    auto* head = new QHBoxLayout;
    head->setSpacing(kGapWide);
    auto* words = new QVBoxLayout;
    words->setSpacing(0);
    words->addWidget(new SafeLabel(title, this, TextSize::Title));
    auto* second = new SafeLabel(question, this);
    second->muted();
    words->addWidget(second);
    head->addLayout(words, 1);
    m_actions->setSpacing(kGap);
    head->addLayout(m_actions);
    m_column->addLayout(head);
}

bool PageFrame::clearFilter()
{
    if (m_filterField == nullptr || m_filterField->text().isEmpty()) return false;
    m_filterField->clear();
    return true;
}

QLineEdit* PageFrame::makeFilterField(const QString& hint)
{
    m_filterField = new QLineEdit(this);
    m_filterField->setPlaceholderText(hint);
    m_filterField->setAccessibleName(hint);
    m_filterField->setClearButtonEnabled(true);
    m_filterField->addAction(iconOf(Symbol::Search), QLineEdit::LeadingPosition);
    m_filterField->setMinimumWidth(150);
    m_filterField->setMaximumWidth(360);
    return m_filterField;
}

}  // namespace ui
