// What two models' comparison says: never more than the errors allow.

#include "study/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assay {
namespace {

using testing::HasSubstr;
using testing::Not;

BaseComparison Perplexity(double delta_pct, double se) { return {.delta_pct = delta_pct, .delta_pct_se = se}; }

// Rounds of one second with a drift that both models share.
ThroughputResult Rates(const std::vector<int64_t>& tokens) {
  ThroughputResult result;
  for (size_t i = 0; i < tokens.size(); ++i) {
    Sample sample;
    sample.round = static_cast<int>(i);
    sample.tokens = tokens[i];
    sample.seconds = 1.0 + 0.5 * static_cast<double>(i);
    result.samples.push_back(sample);
  }
  return result;
}

TEST(ComparisonTest, PerplexityIsToldApartBeyondTwoStandardErrorsAlone) {
  EXPECT_EQ(ComparePerplexity(Perplexity(1.0, 0.4)).standing, Standing::kWorse);
  EXPECT_EQ(ComparePerplexity(Perplexity(-1.0, 0.4)).standing, Standing::kBetter);
  EXPECT_EQ(ComparePerplexity(Perplexity(1.0, 0.6)).standing, Standing::kNotToldApart);
  EXPECT_EQ(ComparePerplexity(Perplexity(-1.0, 0.6)).standing, Standing::kNotToldApart);
}

TEST(ComparisonTest, TheSameModelIsNotToldApartWithoutAnyError) {
  EXPECT_EQ(ComparePerplexity(Perplexity(0.0, 0.0)).standing, Standing::kNotToldApart);
  EXPECT_EQ(CompareSpeed(Rates({100, 100, 100}), Rates({100, 100, 100})).standing, Standing::kNotToldApart);
}

TEST(ComparisonTest, SpeedIsComparedWithinRounds) {
  // The drift of the rounds is far larger than the difference.
  const Compared faster = CompareSpeed(Rates({1100, 1105, 1095, 1100}), Rates({1000, 1000, 1000, 1000}));
  EXPECT_EQ(faster.standing, Standing::kBetter);
  EXPECT_NEAR(faster.estimate.mean, 1.1, 0.002);
  EXPECT_EQ(CompareSpeed(Rates({1000, 1000, 1000}), Rates({1100, 1104, 1096})).standing, Standing::kWorse);
  EXPECT_EQ(CompareSpeed(Rates({1000, 1200, 900}), Rates({1100, 1000, 1000})).standing, Standing::kNotToldApart);
  EXPECT_EQ(CompareSpeed(Rates({2000}), Rates({1000})).standing, Standing::kNotToldApart);  // one round has no error
}

TEST(ComparisonTest, TheSentenceNamesSideAmountAndError) {
  const std::vector<ComparedSpeed> speeds = {
      {"pp512", CompareSpeed(Rates({1100, 1105, 1095, 1100}), Rates({1000, 1000, 1000, 1000}))},
      {"tg128", CompareSpeed(Rates({1000, 1200, 900}), Rates({1100, 1000, 1000}))}};
  const std::string sentence = ComparisonSentence(ComparePerplexity(Perplexity(-2.0, 0.1)), speeds, -25.0);
  EXPECT_THAT(sentence, HasSubstr("B is better than A in perplexity, 2.000 % lower (95% interval 1.80"));
  EXPECT_THAT(sentence, HasSubstr("in pp512 it is faster (1.100 times as fast, 95% interval 1.0"));
  EXPECT_THAT(sentence, HasSubstr("in tg128 they cannot be told apart"));
  EXPECT_THAT(sentence, HasSubstr("its file is 25.00 % smaller."));

  const std::string worse = ComparisonSentence(ComparePerplexity(Perplexity(2.0, 0.1)), {}, 25.0);
  EXPECT_THAT(worse, HasSubstr("B is worse than A in perplexity, 2.000 % higher"));
  EXPECT_THAT(worse, HasSubstr("its file is 25.00 % larger."));
  const std::string equal = ComparisonSentence(ComparePerplexity(Perplexity(0.1, 0.1)), {}, 0.0);
  EXPECT_THAT(equal, HasSubstr("B and A cannot be told apart in perplexity (+0.100 %"));
  EXPECT_THAT(equal, HasSubstr("the files are of one size."));
}

TEST(ComparisonTest, OneRoundIsSaidToTellNothing) {
  const std::vector<ComparedSpeed> speeds = {{"tg8", CompareSpeed(Rates({2000}), Rates({1000}))}};
  const std::string sentence = ComparisonSentence(ComparePerplexity(Perplexity(0.0, 0.0)), speeds, 0.0);
  EXPECT_THAT(sentence, HasSubstr("in tg8 one round tells no difference from its error"));
  EXPECT_THAT(sentence, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace assay
