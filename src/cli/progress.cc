#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "render/format.h"
#include "render/text_table.h"

namespace assay {
namespace {

constexpr size_t kBarWidth = 30;
constexpr size_t kNoteWidth = 36;  // with the bar and the label, within 80 columns for the usual label
constexpr auto kInterval = std::chrono::milliseconds(100);

}  // namespace

Progress::Progress(std::string label)
    : label_(std::move(label)), terminal_(isatty(STDERR_FILENO) != 0), next_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1B[K", stderr);
}

void Progress::Update(uint64_t done, uint64_t total, const std::string& note) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now < next_) return;
  next_ = now + kInterval;
  drawn_ = true;
  const double share = total == 0 ? 0.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<size_t>(share * kBarWidth);
  const std::string bar = std::string(full, '#') + std::string(kBarWidth - full, '.');
  PrintToStderr(fmt::format("\r{} [{}] {:3.0f}% {}\x1B[K", label_, bar, share * 100.0, Abbreviate(note, kNoteWidth)));
}

void PrintStep(std::string_view step) {
  if (isatty(STDERR_FILENO) == 0) PrintToStderr(OneLine(step) + "\n");
}

void PrintToStderr(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace assay
