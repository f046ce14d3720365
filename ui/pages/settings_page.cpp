#include "ui/pages/settings_page.h"

#include "ui/format/format.h"
#include "ui/text/help_words.h"

#include <QGridLayout>
#include <QScrollArea>
#include <QSpinBox>

namespace ui {

using engine::policy::OnLive;

namespace {

QString sentenceFor(OnLive onLive)
{
    switch (onLive) {
    case OnLive::Hold:
        return SettingsPage::tr(
            "Live tunnels are held for ten seconds and can be brought back unharmed, then they are "
            "dropped.");
    case OnLive::Finish:
        return SettingsPage::tr("Live tunnels run on until they end; only new ones are refused.");
    case OnLive::Drop: return SettingsPage::tr("Live tunnels end at once. This cannot be undone.");
    }
    return {};
}

/// A row of a card: what it is about at the left, the control at the right.
void addRow(Card* card, const QString& title, const QString& words, QWidget* control)
{
    auto* row = new QHBoxLayout;
    row->setSpacing(kGapWide);
    auto* text = new QVBoxLayout;
    text->setSpacing(0);
    text->addWidget(new SafeLabel(title, card));
    if (!words.isEmpty()) {
        auto* second = new SafeLabel(words, card, TextSize::Caption);
        second->muted().wrapping();
        text->addWidget(second);
    }
    row->addLayout(text, 1);
    row->addWidget(control, 0, Qt::AlignVCenter);
    card->body()->addLayout(row);
}

}  // namespace

SettingsPage::SettingsPage(QWidget* parent)
    : PageFrame(tr("Settings"), tr("How should this program behave?"), parent)
{
    auto* body = new QWidget(this);
    auto* page = new QVBoxLayout(body);
    page->setContentsMargins(0, 0, 0, 0);
    page->setSpacing(kGapWide);

    auto* look = new Card(body);
    look->body()->setSpacing(kGapWide);
    look->body()->addWidget(new CardHeading(tr("Look"), {}, look));
    m_theme = new SegmentedSwitch({tr("System"), tr("Light"), tr("Dark")}, tr("Theme"), look);
    connect(m_theme, &SegmentedSwitch::asked, this, [this](int position) {
        WindowSettings next = m_settings;
        next.theme = static_cast<ThemeChoice>(position);
        change(next);
    });
    addRow(look, tr("Theme"), tr("“System” follows the desktop."), m_theme);
    m_units = new SegmentedSwitch({tr("kB = 1000"), tr("KiB = 1024")}, tr("Units of volume"), look);
    connect(m_units, &SegmentedSwitch::asked, this, [this](int position) {
        WindowSettings next = m_settings;
        next.units = static_cast<ByteUnits>(position);
        change(next);
    });
    addRow(look, tr("Units of volume"), {}, m_units);
    m_rates = new SegmentedSwitch({tr("bit/s"), tr("B/s")}, tr("Units of speed"), look);
    connect(m_rates, &SegmentedSwitch::asked, this, [this](int position) {
        WindowSettings next = m_settings;
        next.ratesInBits = position == 0;
        change(next);
    });
    addRow(look, tr("Units of speed"), tr("Providers count bits, files are counted in bytes."),
           m_rates);
    m_motion = new SegmentedSwitch({tr("Full"), tr("Reduced")}, tr("Motion"), look);
    connect(m_motion, &SegmentedSwitch::asked, this, [this](int position) {
        WindowSettings next = m_settings;
        next.reducedMotion = position == 1;
        change(next);
    });
    addRow(look, tr("Motion"), tr("Reduced: numbers and curves move once a second."), m_motion);
    page->addWidget(look);

    auto* live = new Card(body);
    live->body()->setSpacing(kGapWide);
    live->body()->addWidget(
        new CardHeading(tr("When a passthrough switch is set to Block"), {}, live));
    m_onLive =
        new SegmentedSwitch({tr("Hold"), tr("Let finish"), tr("Drop")}, tr("Live tunnels"), live);
    m_onLive->setDanger(2);
    connect(m_onLive, &SegmentedSwitch::asked, this, [this](int position) {
        WindowSettings next = m_settings;
        next.onLive = static_cast<OnLive>(position);
        change(next);
    });
    addRow(live, tr("Live tunnels"), {}, m_onLive);
    m_onLiveWords = new SafeLabel(live);
    m_onLiveWords->muted().wrapping();
    live->body()->addWidget(m_onLiveWords);
    page->addWidget(live);

    auto* memory = new Card(body);
    memory->body()->setSpacing(kGapWide);
    memory->body()->addWidget(new CardHeading(tr("History"), {}, memory));
    m_days = new QSpinBox(memory);
    m_days->setRange(1, 3650);
    m_days->setSuffix(tr(" days"));
    m_days->setAccessibleName(tr("Days of history"));
    m_megabytes = new QSpinBox(memory);
    m_megabytes->setRange(16, 1000000);
    m_megabytes->setSuffix(tr(" MB"));
    m_megabytes->setGroupSeparatorShown(true);
    m_megabytes->setAccessibleName(tr("Megabytes of history"));
    for (QSpinBox* box : {m_days, m_megabytes}) {
        box->setMinimumWidth(130);
        box->setAlignment(Qt::AlignRight);
        box->setKeyboardTracking(false);
        connect(box, &QSpinBox::valueChanged, this, [this] {
            WindowSettings next = m_settings;
            next.retentionDays = static_cast<std::uint32_t>(m_days->value());
            next.retentionMegabytes = static_cast<std::uint32_t>(m_megabytes->value());
            if (next != m_settings) change(next);
        });
    }
    addRow(memory, tr("Keep for at most"), tr("Older entries are removed."), m_days);
    addRow(memory, tr("Use at most"), tr("When it is full, the oldest entries go first."),
           m_megabytes);
    page->addWidget(memory);

    m_host = new HostCard(body);
    connect(m_host, &HostCard::restoreAsked, this, &SettingsPage::restoreAsked);
    page->addWidget(m_host);

    m_about = new Card(body);
    m_about->body()->addWidget(new CardHeading(tr("About Underpass"), {}, m_about));
    auto* words = new SafeLabel(
        tr("A router for the desktop that lets every VPN through and shows it. Free software under "
           "the GNU General Public License, version 3 or later; it comes without any warranty."),
        m_about);
    words->wrapping();
    m_about->body()->addWidget(words);
    m_versions = new QGridLayout;
    m_versions->setHorizontalSpacing(kGapPage);
    m_versions->setVerticalSpacing(kGapSmall);
    m_versions->setColumnStretch(3, 1);
    m_about->body()->addLayout(m_versions);
    page->addWidget(m_about);

    auto* card = new Card(body);
    card->body()->addWidget(new CardHeading(tr("Keys"), {}, card));
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(kGapPage);
    grid->setVerticalSpacing(kGapSmall);
    grid->setColumnStretch(1, 1);
    grid->setColumnStretch(3, 1);
    int at = 0;
    for (const auto& [key, meaning] : ui::keys()) {
        auto* name = new SafeLabel(key, card);
        name->muted();
        grid->addWidget(name, at / 2, at % 2 * 2);
        grid->addWidget(new SafeLabel(meaning, card), at / 2, at % 2 * 2 + 1);
        ++at;
    }
    card->body()->addLayout(grid);
    page->addWidget(card);
    page->addStretch();
    auto* area = asScrollPage(body, this);
    body->setMaximumWidth(920);
    column()->addWidget(area, 1);
    setSettings({});
}

void SettingsPage::change(const WindowSettings& settings)
{
    Q_EMIT changed(settings);
}

void SettingsPage::setSettings(const WindowSettings& settings)
{
    m_settings = settings;
    m_theme->setPosition(static_cast<int>(settings.theme));
    m_units->setPosition(static_cast<int>(settings.units));
    m_rates->setPosition(settings.ratesInBits ? 0 : 1);
    m_motion->setPosition(settings.reducedMotion ? 1 : 0);
    m_onLive->setPosition(static_cast<int>(settings.onLive));
    m_onLiveWords->setText(sentenceFor(settings.onLive));
    const QSignalBlocker days(m_days);
    const QSignalBlocker megabytes(m_megabytes);
    if (!m_days->hasFocus()) m_days->setValue(static_cast<int>(settings.retentionDays));
    if (!m_megabytes->hasFocus())
        m_megabytes->setValue(static_cast<int>(settings.retentionMegabytes));
}

void SettingsPage::setVersions(const std::vector<VersionLine>& lines)
{
    while (QLayoutItem* item = m_versions->takeAt(0)) {
        delete item->widget();
        delete item;
    }
    m_versionRows = 0;
    for (const VersionLine& line : lines) {
        m_versions->addWidget(new SafeLabel(safeText(line.component, 60), m_about), m_versionRows,
                              0);
        m_versions->addWidget(new SafeLabel(safeText(line.version, 60), m_about), m_versionRows, 1);
        auto* licence = new SafeLabel(safeText(line.licence, 80), m_about);
        licence->muted();
        m_versions->addWidget(licence, m_versionRows, 2);
        ++m_versionRows;
    }
}

}  // namespace ui
