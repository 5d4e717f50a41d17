#include "decode/learned_costs.h"

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

constexpr size_t kRemembered = 21;
constexpr double kChangeFactor = 1.5;  // from the median, for a change

constexpr size_t kPlainValues = 2;  // before anything is compared with a plain step
constexpr size_t kSureValues = 3, kSurePlainValues = 4;
// Until then a batch is not believed to cost more than this times what its neighbours say: one value may be a hiccup.
constexpr double kMostSurprise = 1.5;

// A batch that was seen only behind plain steps may take so much less behind drafts, where the caches are warm.
constexpr double kColdSurcharge = 1.4;

// In plain steps, for a further token in a batch, before any batch is known.
constexpr double kFurtherToken = 0.1;
// Beyond the batches that are known a further token costs this share of what one cost up to there.
constexpr double kBeyondShare = 0.5;
constexpr double kReadingMemory = 0.7;  // what earlier readings keep of their weight

// The lower one of two in the middle.
double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void LearnedCosts::Recent::Add(double x) {
  values_.push_back(x);
  if (values_.size() > kRemembered) values_.erase(values_.begin());
  median_ = MedianOf(values_);
  if (values_.size() <= static_cast<size_t>(change_values_)) return;
  const auto newest = values_.end() - change_values_;
  const bool above = std::all_of(newest, values_.end(), [&](double v) { return v > kChangeFactor * median_; });
  const bool below = std::all_of(newest, values_.end(), [&](double v) { return v < median_ / kChangeFactor; });
  if (!above && !below) return;
  values_.erase(values_.begin(), newest);
  median_ = MedianOf(values_);
}

void LearnedCosts::Recent::ForgetOldest() {
  if (values_.size() < 2) return;
  values_.erase(values_.begin());
  median_ = MedianOf(values_);
}

LearnedCosts::LearnedCosts(int max_tokens)
    : plain_(kPlainChangeValues),
      guess_(kChangeValues),
      after_whole_(kChangeValues),
      verify_(static_cast<size_t>(max_tokens) + 1) {}

void LearnedCosts::AddPlain(double seconds) { plain_.Add(seconds); }

void LearnedCosts::AddVerify(int tokens, double seconds, bool warm) {
  Batch& batch = verify_[static_cast<size_t>(tokens)];
  if (batch.warm && !warm) return;
  if (batch.warm != warm) batch.seconds.Clear();
  batch.warm = warm;
  batch.seconds.Add(seconds);
}

void LearnedCosts::AddPrompt(int tokens, double seconds) {
  if (read_ > 0.0 || tokens == 0) return;
  reading_seconds_ = seconds / tokens;  // as if one token had been read
  read_ = 1.0;
}

double LearnedCosts::ReadingOf(int tokens, int guesses, double seconds) const {
  return std::clamp(seconds - guesses * guess(), 0.0, tokens * guess());
}

void LearnedCosts::AddReading(int unread, int guesses, double seconds) {
  reading_seconds_ = kReadingMemory * reading_seconds_ + ReadingOf(unread, guesses, seconds);
  read_ = kReadingMemory * read_ + unread;
}

void LearnedCosts::AddAfterWhole(int guesses, double seconds) { after_whole_.Add(ReadingOf(1, guesses, seconds)); }

void LearnedCosts::Age() {
  guess_.ForgetOldest();
  for (Batch& batch : verify_) batch.seconds.ForgetOldest();
}

bool LearnedCosts::known() const { return plain_.count() >= kPlainValues && guess_.count() > 0; }

bool LearnedCosts::knows_plain() const { return plain_.count() >= kSurePlainValues; }

int LearnedCosts::WantedGuesses() const {
  return static_cast<int>(kSureValues - std::min(kSureValues, guess_.count()));
}

double LearnedCosts::FromNeighbours(int tokens) const {
  int below = tokens - 1;
  while (below > 1 && OfBatch(below).count() == 0) --below;
  const int size = static_cast<int>(verify_.size());
  int above = tokens + 1;
  while (above < size && OfBatch(above).count() == 0) ++above;
  const double low = below > 1 ? OfBatch(below).value() : plain();
  double further = kFurtherToken * plain();
  if (below > 1) further = std::min(further, kBeyondShare * (low - plain()) / (below - 1));
  if (above < size) further = std::min(further, (OfBatch(above).value() - low) / (above - below));
  return low + std::max(0.0, further) * (tokens - below);
}

double LearnedCosts::Verify(int tokens) const {
  if (tokens <= 1) return plain();
  const double guessed = FromNeighbours(tokens);
  const Recent& own = OfBatch(tokens);
  if (own.count() == 0) return guessed;
  return own.count() < kSureValues ? std::min(own.value(), kMostSurprise * guessed) : own.value();
}

double LearnedCosts::HopedBatch(int tokens) const {
  if (tokens <= 1) return plain();
  const Recent& own = OfBatch(tokens);
  const double hoped = own.count() < kSureValues ? std::min(Verify(tokens), FromNeighbours(tokens)) : own.value();
  const bool cold = own.count() > 0 && !verify_[static_cast<size_t>(tokens)].warm;
  return cold ? std::max(std::min(hoped, plain()), hoped / kColdSurcharge) : hoped;
}

double LearnedCosts::HopedVerify(double tokens) const {
  const double below = std::floor(tokens);
  const double share = tokens - below;
  const double low = HopedBatch(static_cast<int>(below));
  return share == 0.0 ? low : low + share * (HopedBatch(static_cast<int>(below) + 1) - low);
}

double LearnedCosts::Reading(int unread) const {
  return read_ > 0.0 ? std::max(0.0, reading_seconds_ / read_) * unread : 0.0;
}

}  // namespace assay
