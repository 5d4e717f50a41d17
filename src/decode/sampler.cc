#include "decode/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

// A draw first finds its block, then its token.
constexpr size_t kBlock = 256;

// 2^x for -126 <= x <= 0. The error is that of the series, 0.3466^8 / 8! = 5.2e-9 of
// the value. In double, because a float x of 100 would itself be off by 4e-6.
inline double Exp2(double x) {
  constexpr double kRound = 0x1.8p52;  // pushes the fraction out: the nearest integer stands in the low bits
  const double shifted = x + kRound;
  const double t = (x - (shifted - kRound)) * std::numbers::ln2;
  const double series =
      1.0 +
      t * (1.0 + t * (1.0 / 2 + t * (1.0 / 6 + t * (1.0 / 24 + t * (1.0 / 120 + t * (1.0 / 720 + t * (1.0 / 5040)))))));
  return std::bit_cast<double>(std::bit_cast<uint64_t>(series) + (std::bit_cast<uint64_t>(shifted) << 52));
}

// exp((logit - top) / temperature), at least 2^-126, so that a float holds it. Two loops: in one, the compiler makes a
// branch of the bound, and no vectors.
std::vector<float> Weights(std::span<const float> logits, float top, float temperature) {
  const double scale = std::numbers::log2e / static_cast<double>(temperature);
  std::vector<float> weights(logits.size());
  double exponents[kBlock];
  for (size_t start = 0; start < logits.size(); start += kBlock) {
    const size_t count = std::min(kBlock, logits.size() - start);
    for (size_t i = 0; i < count; ++i) {
      const double x = (static_cast<double>(logits[start + i]) - static_cast<double>(top)) * scale;
      exponents[i] = x > -126.0 ? x : -126.0;
    }
    for (size_t i = 0; i < count; ++i) weights[start + i] = static_cast<float>(Exp2(exponents[i]));
  }
  return weights;
}

double Sum(std::span<const float> weights) {
  double lanes[4] = {};
  size_t i = 0;
  for (; i + 4 <= weights.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) lanes[lane] += static_cast<double>(weights[i + lane]);
  }
  for (; i < weights.size(); ++i) lanes[0] += static_cast<double>(weights[i]);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

float Smallest(std::span<const float> logits) {
  float lanes[8];
  std::fill_n(lanes, 8, logits.front());
  size_t i = 0;
  for (; i + 8 <= logits.size(); i += 8) {
    for (size_t lane = 0; lane < 8; ++lane)
      lanes[lane] = logits[i + lane] < lanes[lane] ? logits[i + lane] : lanes[lane];
  }
  for (; i < logits.size(); ++i) lanes[0] = std::min(lanes[0], logits[i]);
  return *std::min_element(lanes, lanes + 8);
}

// The tokens still in the draw, in their order. All filters keep the first so many by falling logit, so each is a Cut.
class Pool {
 public:
  Pool(std::span<const float> logits, const RowTop& top)
      : logits_(logits), top_(logits[static_cast<size_t>(top.token)]) {}

  std::span<const float> logits() const { return logits_; }
  float top() const { return top_; }
  std::vector<Token> TakeTokens() { return std::move(tokens_); }

  // Keeps those above `logit`, and of its equals those up to place `last`.
  void Cut(float logit, size_t last) {
    std::vector<Token> tokens;
    std::vector<float> kept;
    for (size_t i = 0; i < logits_.size(); ++i) {
      if (logits_[i] < logit || (logits_[i] == logit && i > last)) continue;
      tokens.push_back(tokens_.empty() ? static_cast<Token>(i) : tokens_[i]);
      kept.push_back(logits_[i]);
    }
    tokens_ = std::move(tokens);
    kept_ = std::move(kept);
    logits_ = kept_;
  }

  // Keeps what has at least this share of the likeliest's probability, which is a distance from its logit.
  void CutBelowShare(double share, float temperature) {
    const double least = static_cast<double>(top_) + static_cast<double>(temperature) * std::log(share);
    auto floor = static_cast<float>(least);
    if (static_cast<double>(floor) < least) floor = std::nextafter(floor, top_);
    Cut(floor, logits_.size());
  }

  // Keeps the fewest likeliest whose measures reach `goal`: measures are added up in buckets of equal width, and only
  // the bucket where the goal is reached is sorted.
  template <typename Measure>
  void CutWhereReached(double goal, const Measure& measure) {
    constexpr size_t kBuckets = 2048;
    const double range = static_cast<double>(top_) - static_cast<double>(Smallest(logits_));
    const double scale = range > 0.0 ? (kBuckets - 1) / range : 0.0;
    std::vector<int32_t> buckets(logits_.size());
    for (size_t i = 0; i < logits_.size(); ++i) {
      buckets[i] = static_cast<int32_t>((static_cast<double>(top_) - static_cast<double>(logits_[i])) * scale);
    }
    std::vector<double> sums(kBuckets);
    for (size_t i = 0; i < logits_.size(); ++i) sums[static_cast<size_t>(buckets[i])] += measure(i);
    size_t bucket = 0;
    double reached = 0.0;
    while (bucket + 1 < kBuckets && reached + sums[bucket] < goal) reached += sums[bucket++];
    std::vector<size_t> places;
    for (size_t i = 0; i < logits_.size(); ++i) {
      if (buckets[i] == static_cast<int32_t>(bucket)) places.push_back(i);
    }
    std::stable_sort(places.begin(), places.end(), [&](size_t a, size_t b) { return logits_[a] > logits_[b]; });
    for (const size_t place : places) {
      reached += measure(place);
      if (reached >= goal) return Cut(logits_[place], place);
    }
    // Rounding left the goal a sliver beyond the last bucket: all stay.
  }

 private:
  std::span<const float> logits_;
  float top_;
  std::vector<Token> tokens_;  // empty: all
  std::vector<float> kept_;
};

}  // namespace

void CheckSampling(const SamplingOptions& o) {
  if (!(o.temperature >= 0.0F) || !std::isfinite(o.temperature)) {
    Fail(ErrorKind::kUsage, "--temp {}: a temperature is 0 (greedy) or above; give another", o.temperature);
  }
  if (o.top_k < 0) Fail(ErrorKind::kUsage, "--top-k {}: it is 0 (all) or above; give another", o.top_k);
  if (!(o.top_p > 0.0F && o.top_p <= 1.0F))
    Fail(ErrorKind::kUsage, "--top-p {}: it is above 0 and at most 1; give another", o.top_p);
  if (!(o.min_p >= 0.0F && o.min_p <= 1.0F))
    Fail(ErrorKind::kUsage, "--min-p {}: it lies between 0 and 1; give another", o.min_p);
}

Distribution::Distribution(std::vector<Token> tokens, std::vector<float> weights)
    : tokens_(std::move(tokens)), weights_(std::move(weights)) {
  for (size_t start = 0; start < weights_.size(); start += kBlock) {
    block_sums_.push_back(Sum(std::span(weights_).subspan(start, std::min(kBlock, weights_.size() - start))));
    total_ += block_sums_.back();
  }
}

double Distribution::ProbabilityOf(Token token) const {
  if (tokens_.empty()) return probability(static_cast<size_t>(token));
  const auto found = std::lower_bound(tokens_.begin(), tokens_.end(), token);
  if (found == tokens_.end() || *found != token) return 0.0;
  return probability(static_cast<size_t>(found - tokens_.begin()));
}

Token Distribution::Draw(Rng& rng) const {
  double left = rng.Uniform() * total_;
  size_t block = 0;
  while (block + 1 < block_sums_.size() && left >= block_sums_[block]) left -= block_sums_[block++];
  const size_t end = std::min(weights_.size(), (block + 1) * kBlock);
  size_t drawn = 0;  // the last token that can be drawn, should rounding leave a sliver beyond it
  for (size_t i = block * kBlock; i < end; ++i) {
    if (!(weights_[i] > 0.0F)) continue;
    drawn = i;
    left -= static_cast<double>(weights_[i]);
    if (left < 0.0) break;
  }
  return token(drawn);
}

Distribution SamplingDistribution(std::span<const float> logits, const RowTop& top, const SamplingOptions& options) {
  if (options.temperature == 0.0F) return Distribution::Certain(top.token);
  Pool pool(logits, top);
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < logits.size()) {
    pool.CutWhereReached(options.top_k, [](size_t) { return 1.0; });
  }
  if (options.top_p < 1.0F) {
    const double total = Sum(Weights(pool.logits(), pool.top(), options.temperature));
    const auto goal = static_cast<double>(options.top_p);
    // What is less likely than the average of the mass to cut lies beyond the cut: all of it together is less than
    // that.
    pool.CutBelowShare((1.0 - goal) * total / static_cast<double>(pool.logits().size()), options.temperature);
    const std::vector<float> weights = Weights(pool.logits(), pool.top(), options.temperature);
    pool.CutWhereReached(goal * total, [&](size_t i) { return static_cast<double>(weights[i]); });
  }
  if (options.min_p > 0.0F) pool.CutBelowShare(static_cast<double>(options.min_p), options.temperature);
  std::vector<float> weights = Weights(pool.logits(), pool.top(), options.temperature);
  return {pool.TakeTokens(), std::move(weights)};
}

}  // namespace assay
