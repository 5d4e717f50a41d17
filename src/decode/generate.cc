#include "decode/generate.h"

#include "base/error.h"
#include "decode/checked_tops.h"
#include "decode/emitter.h"

namespace assay {

double Generation::TokensPerSecond() const {
  if (tokens.size() < 2 || decode_seconds <= 0.0) return 0.0;
  return static_cast<double>(tokens.size() - 1) / decode_seconds;
}

bool Emitter::Emit(Token token, int decoded) {
  result_.tokens.push_back(token);
  if (result_.tokens.size() == 1) result_.prompt_seconds = watch_.Restart();
  std::optional<StopReason> end = StopReason::kCallback;
  if (!on_token_ || on_token_(token)) end = EndOf(token, decoded, /*untaken=*/0);
  if (end.has_value()) result_.stop = *end;
  return !end.has_value();
}

std::optional<StopReason> Emitter::EndOf(Token token, int decoded, int untaken) const {
  if (!options_.ignore_end && tokenizer_.IsEndOfGeneration(token)) return StopReason::kEnd;
  if (left() == untaken) return StopReason::kLength;
  if (decoded == context_) return StopReason::kContext;
  return std::nullopt;
}

Generation Emitter::Finish() {
  result_.decode_seconds = watch_.Seconds();
  return std::move(result_);
}

void CheckGeneration(std::span<const Token> prompt, const GenerateOptions& options, int context) {
  if (prompt.empty())
    Fail(ErrorKind::kUsage, "the prompt is empty: there is nothing to continue; give a text with -p or -f");
  if (prompt.size() > static_cast<size_t>(context)) {
    Fail(ErrorKind::kUsage,
         "the prompt has {} tokens, the model's context holds {}; raise it (-c) or shorten the prompt", prompt.size(),
         context);
  }
  if (options.max_tokens < 1)
    Fail(ErrorKind::kUsage, "{} tokens to generate: at least 1 is needed", options.max_tokens);
  CheckSampling(options.sampling);
}

Token ChooseToken(Session& session, std::span<const float> logits, const SamplingOptions& sampling, Rng& rng) {
  const RowTop top = CheckedTops(session.Tops(), session.position(), session.cache()).front();
  return SamplingDistribution(logits, top, sampling).Draw(rng);
}

Generation Generate(Session& session, std::span<const Token> prompt, const GenerateOptions& options,
                    const Tokenizer& tokenizer, const OnToken& on_token) {
  CheckGeneration(prompt, options, session.context() - session.position());
  Emitter emitter(options, tokenizer, on_token, session.context());
  Rng rng(options.seed);
  std::span<const float> logits = session.Forward(prompt, Logits::kLast);
  for (;;) {
    const Token token = ChooseToken(session, logits, options.sampling, rng);
    if (!emitter.Emit(token, session.position())) return emitter.Finish();
    logits = session.Forward(std::span(&token, 1), Logits::kLast);
  }
}

}  // namespace assay
