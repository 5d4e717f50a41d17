// Every architecture against the known answers of an independent implementation (known_models.h). What the oracle in
// double precision and transformers in float32 may differ by is what float32 rounds: 1e-3 of the logits' standard
// deviation, and 1e-4 in the mean negative log-likelihood.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include "decode/speculate.h"
#include "engine/loaded_model.h"
#include "known_models.h"
#include "study_models.h"

namespace assay {
namespace {

double Worst(std::span<const float> a, std::span<const float> b) {
  double worst = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst;
}

double NegativeLogLikelihood(std::span<const float> logits, Token token) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top - static_cast<double>(logits[static_cast<size_t>(token)]);
}

class KnownAnswersTest : public testing::TestWithParam<std::string> {};

TEST_P(KnownAnswersTest, OfTheOracle) {
  const KnownAnswers known = AnswersOf(GetParam());
  const std::unique_ptr<Backend> backend = MakeBackend("ref", 2);
  LoadedModel loaded(KnownModelFile(GetParam()), *backend);
  Session session(loaded.engine, {.context = static_cast<int>(known.tokens.size()), .cache = CacheType::kF32});
  const std::span<const float> all = session.Forward(known.tokens, Logits::kAll);
  const auto vocab = static_cast<size_t>(loaded.model->spec.vocab);
  const auto row = [&](size_t t) { return all.subspan(t * vocab, vocab); };
  ASSERT_EQ(known.middle.size(), vocab);

  const double allowed = 1e-3 * known.deviation;
  EXPECT_LT(Worst(row(100), known.middle), allowed);
  EXPECT_LT(Worst(row(known.tokens.size() - 1), known.last), allowed);
  double mean = 0.0, known_mean = 0.0;
  for (size_t t = 0; t < known.nll.size(); ++t) {
    const double nll = NegativeLogLikelihood(row(t), known.tokens[t + 1]);
    EXPECT_NEAR(nll, known.nll[t], 2 * allowed) << "position " << t;
    mean += nll / static_cast<double>(known.nll.size());
    known_mean += static_cast<double>(known.nll[t]) / static_cast<double>(known.nll.size());
  }
  EXPECT_NEAR(mean, known_mean, 1e-4);
  for (size_t t = 0; t < known.argmax.size(); ++t) {
    const float top = *std::max_element(row(t).begin(), row(t).end());
    EXPECT_NEAR(row(t)[static_cast<size_t>(known.argmax[t])], top, 2 * allowed) << "position " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, KnownAnswersTest, testing::ValuesIn(KnownModels()),
                         [](const auto& case_info) { return TestName(case_info.param); });

}  // namespace
}  // namespace assay
