// Every architecture's bundled Q8_0 file against the known answers of the unquantised model (models/golden.json).
//
// How far may it be off? Q8_0 stores a block of 32 weights as whole multiples of d = (largest magnitude) / 127. A
// weight's rounding error is uniform within half a step: its standard deviation is d / sqrt(12). What such errors do to
// the logits depends on the network, and is not guessed but measured, in the oracle's double precision: the same file
// with every weight moved at random, by noise of that very variance, is a second rounding of the first. Its distance
// from the first is a sample of how far a model lies from its own Q8_0 file.
//
// The cpu backend rounds activations too, 32 at a time with the same step rule. The step relative to the block's root
// mean square is (largest / rms) / 127: 2.4 / 127 for weights, which are nearly normal, and at most sqrt(32) / 127 for
// any block. So rounding activations adds at most 2.36 times what rounding the weights does, independently of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/rng.h"
#include "engine/session.h"
#include "gguf/gguf.h"
#include "model/model_spec.h"
#include "study_models.h"

namespace assay {
namespace {

struct Answers {
  std::vector<float> nll;   // of each next token
  std::vector<float> last;  // logits of the last position
  std::vector<float> lead;  // how far the largest logit of each position is ahead of a given token's
};

const nlohmann::json& Golden(const std::string& model) {
  static const nlohmann::json golden = nlohmann::json::parse(std::ifstream(Bundled("golden.json")));
  return golden.at(model).at("golden");
}

double NegativeLogLikelihood(std::span<const float> logits, Token token) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top - static_cast<double>(logits[static_cast<size_t>(token)]);
}

// The answers of a file to the golden tokens. `known_top`: the tokens that `lead` is about.
Answers Ask(const std::filesystem::path& file, const std::string& backend_name, std::span<const Token> tokens,
            std::span<const Token> known_top) {
  const std::unique_ptr<Model> model = Model::Open(file);
  const std::unique_ptr<Backend> backend = MakeBackend(backend_name, 2);
  Engine engine(*model, *backend);
  Session session(engine, {.context = static_cast<int>(tokens.size()), .cache = CacheType::kF32});
  const std::span<const float> all = session.Forward(tokens, Logits::kAll);
  const auto vocab = static_cast<size_t>(model->spec.vocab);
  Answers answers;
  for (size_t t = 0; t < tokens.size(); ++t) {
    const std::span<const float> logits = all.subspan(t * vocab, vocab);
    if (t + 1 < tokens.size()) {
      answers.nll.push_back(static_cast<float>(NegativeLogLikelihood(logits, tokens[t + 1])));
    } else {
      answers.last.assign(logits.begin(), logits.end());
    }
    if (t < known_top.size()) {
      const float top = *std::max_element(logits.begin(), logits.end());
      answers.lead.push_back(top - logits[static_cast<size_t>(known_top[t])]);
    }
  }
  return answers;
}

double Rms(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return std::sqrt(sum / static_cast<double>(a.size()));
}

double Worst(std::span<const float> a, std::span<const float> b) {
  double worst = 0.0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(static_cast<double>(a[i] - b[i])));
  return worst;
}

// Moves each weight of Q8_0 blocks (an F16 step, then 32 whole numbers) by a step up or down, with probability 1/24
// each: noise of mean 0 and a variance of 1/12 of a squared step. Numbers at the ends of the range stay.
std::vector<uint8_t> Shake(std::span<const uint8_t> blocks, Rng& rng) {
  constexpr size_t kBlock = 34;
  std::vector<uint8_t> shaken(blocks.begin(), blocks.end());
  for (size_t i = 0; i < shaken.size(); ++i) {
    if (i % kBlock < 2) continue;
    const uint64_t draw = rng.Below(24);
    const auto weight = static_cast<int8_t>(shaken[i]);
    if (draw > 1 || weight <= -127 || weight >= 127) continue;
    shaken[i] = static_cast<uint8_t>(weight + (draw == 0 ? 1 : -1));
  }
  return shaken;
}

// The file with its Q8_0 tensors shaken.
std::filesystem::path ShakenFile(const std::filesystem::path& path, uint64_t seed) {
  const GgufFile file = GgufFile::Open(path);
  std::vector<GgufTensorInfo> tensors;
  for (const GgufTensor& tensor : file.tensors()) tensors.push_back({tensor.name, tensor.shape, tensor.format});
  std::filesystem::path shaken = TemporaryPath(path.stem().string() + "-shaken.gguf");
  GgufWriter writer(shaken, file.metadata(), tensors);
  Rng rng(seed);
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.format == Format::kQ8_0) {
      writer.WriteData(Shake(tensor.data, rng));
    } else {
      writer.WriteData(tensor.data);
    }
  }
  writer.Finish();
  return shaken;
}

// What Q8_0's own rounding does to the answers, root mean square.
struct OwnError {
  double nll = 0.0, last = 0.0;
};

OwnError MeasureOwnError(const std::filesystem::path& path, std::span<const Token> tokens) {
  constexpr int kSamples = 3;
  const Answers plain = Ask(path, "ref", tokens, {});
  OwnError error;
  for (uint64_t seed = 1; seed <= kSamples; ++seed) {
    const Answers shaken = Ask(ShakenFile(path, seed), "ref", tokens, {});
    error.nll += std::pow(Rms(shaken.nll, plain.nll), 2) / kSamples;
    error.last += std::pow(Rms(shaken.last, plain.last), 2) / kSamples;
  }
  return {std::sqrt(error.nll), std::sqrt(error.last)};
}

// The logits of one position share the errors of one hidden state, so that even their root mean square scatters from
// one rounding to the next.
constexpr double kScatter = 1.5;
const double kRoundedActivations = std::hypot(1.0, std::sqrt(32.0) / 2.4);
// The largest of the thousands of logits, and of the positions, in standard deviations.
constexpr double kWorst = 6.0;

class ArchitecturesTest : public testing::TestWithParam<std::string> {
 protected:
  ArchitecturesTest()
      : known_(Golden(GetParam())),
        tokens_(known_["tokens"].get<std::vector<Token>>()),
        nll_(known_["nll"].get<std::vector<float>>()),
        last_(known_["logits_last"].get<std::vector<float>>()),
        own_(MeasureOwnError(Bundled(GetParam() + "-Q8_0.gguf"), tokens_)) {}

  const nlohmann::json& known_;
  std::vector<Token> tokens_;
  std::vector<float> nll_, last_;
  OwnError own_;
};

TEST_P(ArchitecturesTest, Q8_0IsAsFarFromTheGoldenAsRoundingAlonePutsIt) {
  const auto top = known_["argmax"].get<std::vector<Token>>();
  for (const std::string backend : {"ref", "cpu"}) {
    const double allowed = kScatter * (backend == "cpu" ? kRoundedActivations : 1.0);
    const Answers found = Ask(Bundled(GetParam() + "-Q8_0.gguf"), backend, tokens_, top);
    ASSERT_EQ(found.nll.size(), nll_.size());
    ASSERT_EQ(found.last.size(), last_.size());
    RecordProperty(backend + "_logits_in_own_errors", std::to_string(Rms(found.last, last_) / own_.last));
    RecordProperty(backend + "_nll_in_own_errors", std::to_string(Rms(found.nll, nll_) / own_.nll));
    EXPECT_LT(Rms(found.last, last_), allowed * own_.last) << backend;
    EXPECT_LT(Worst(found.last, last_), kWorst * allowed * own_.last) << backend;
    EXPECT_LT(Rms(found.nll, nll_), allowed * own_.nll) << backend;
    EXPECT_LT(*std::max_element(found.lead.begin(), found.lead.end()), kWorst * allowed * own_.last) << backend;
  }
}

// The bounds are no wider than that: a format with steps four times as wide is beyond them.
TEST_P(ArchitecturesTest, ACoarserFormatIsBeyondTheBounds) {
  const Answers found = Ask(RungFile({GetParam(), ""}, Rung::kQ6_K), "ref", tokens_, {});
  EXPECT_GT(Rms(found.last, last_), kScatter * own_.last);
  EXPECT_GT(Rms(found.nll, nll_), kScatter * own_.nll);
}

INSTANTIATE_TEST_SUITE_P(Models, ArchitecturesTest,
                         testing::Values("tiny-qwen35moe", "tiny-gemma3", "tiny-qwen3", "tiny-llama"),
                         [](const auto& case_info) { return TestName(case_info.param); });

}  // namespace
}  // namespace assay
