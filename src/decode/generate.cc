#include "decode/generate.h"

#include <chrono>
#include <cmath>

#include "base/error.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Token Next(std::span<const float> logits, const SamplingOptions& sampling, Rng& rng, int position) {
  const Token best = Greedy(logits);
  if (!std::isfinite(logits[static_cast<size_t>(best)]) || std::isnan(logits.front())) {
    Fail(ErrorKind::kInvalid, "the logits after token {} are not finite: the weights or the arithmetic are broken",
         position);
  }
  if (sampling.temperature == 0.0F) return best;
  return Draw(Distribution(logits, sampling), rng);
}

}  // namespace

double Generation::TokensPerSecond() const {
  if (tokens.size() < 2 || decode_seconds <= 0.0) return 0.0;
  return static_cast<double>(tokens.size() - 1) / decode_seconds;
}

Generation Generate(Session& session, std::span<const Token> prompt, const GenerateOptions& options,
                    const Tokenizer& tokenizer, const OnToken& on_token) {
  if (prompt.empty()) Fail(ErrorKind::kUsage, "the prompt is empty: there is nothing to continue");
  CheckSampling(options.sampling);
  Generation result;
  if (options.max_tokens <= 0) return result;
  Rng rng(options.seed);
  Clock::time_point start = Clock::now();
  std::span<const float> logits = session.Forward(prompt, Logits::kLast);
  for (;;) {
    const Token token = Next(logits, options.sampling, rng, session.position());
    result.tokens.push_back(token);
    if (result.tokens.size() == 1) {
      result.prompt_seconds = SecondsSince(start);
      start = Clock::now();
    }
    if (on_token && !on_token(token)) {
      result.stop = StopReason::kCallback;
      break;
    }
    if (!options.ignore_end && tokenizer.IsEndOfGeneration(token)) {
      result.stop = StopReason::kEnd;
      break;
    }
    if (static_cast<int>(result.tokens.size()) >= options.max_tokens) break;
    if (session.position() == session.context()) {
      result.stop = StopReason::kContext;
      break;
    }
    logits = session.Forward(std::span(&token, 1), Logits::kLast);
  }
  result.decode_seconds = SecondsSince(start);
  return result;
}

}  // namespace assay
