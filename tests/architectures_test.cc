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
#include "known_models.h"
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

// The noise of `kSamples` files gives as many samples of a root mean square, and the file at hand is held to be one
// more of the same kind. Its logarithm then lies below mean + t sd sqrt(1 + 1/n), Student's interval for a further draw
// (n - 1 degrees of freedom, 99.9%, one-sided): how much the samples scatter says how much the next one may. Noise that
// makes a router take another expert moves logits by several times what rounding does; samples above twice the least
// are of that kind, say nothing of rounding, and are left out.
constexpr int kSamples = 8;
constexpr double kStudent[] = {0, 318.3, 22.33, 10.21, 7.173, 5.893, 5.208, 4.785};  // by degrees of freedom

double MostOfAFurtherDraw(std::span<const double> samples) {
  const double least = *std::min_element(samples.begin(), samples.end());
  std::vector<double> logs;
  for (const double sample : samples) {
    if (sample <= 2 * least) logs.push_back(std::log(sample));
  }
  const auto n = static_cast<double>(logs.size());
  double mean = 0.0, squares = 0.0;
  for (const double log : logs) mean += log / n;
  for (const double log : logs) squares += (log - mean) * (log - mean);
  EXPECT_GE(n, kSamples / 2) << "most of the noise makes routers change their minds";
  return std::exp(mean + kStudent[logs.size() - 1] * std::sqrt(squares / (n - 1) * (1 + 1 / n)));
}

// How far Q8_0's own rounding may put the answers off, root mean square.
struct OwnError {
  double nll = 0.0, last = 0.0;
};

OwnError MeasureOwnError(const std::filesystem::path& path, std::span<const Token> tokens) {
  const Answers plain = Ask(path, "ref", tokens, {});
  std::vector<double> nll, last;
  for (uint64_t seed = 1; seed <= kSamples; ++seed) {
    const Answers shaken = Ask(ShakenFile(path, seed), "ref", tokens, {});
    nll.push_back(Rms(shaken.nll, plain.nll));
    last.push_back(Rms(shaken.last, plain.last));
  }
  return {MostOfAFurtherDraw(nll), MostOfAFurtherDraw(last)};
}

const double kRoundedActivations = std::hypot(1.0, std::sqrt(32.0) / 2.4);
// The largest of the thousands of logits, and of the positions, in standard deviations: beyond it lie 2e-9 of a normal
// distribution.
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
    const double allowed = backend == "cpu" ? kRoundedActivations : 1.0;
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

// The bounds of models without experts are no wider than that. Q6_K, with steps four times as wide, is beyond those of
// the oracle; those of cpu, which allow the worst that rounded activations can do, are passed by steps sixteen times as
// wide. Of the mixture that is not shown, and its bounds are wider: its samples scatter with what the router does.
class DenseArchitecturesTest : public ArchitecturesTest {};

TEST_P(DenseArchitecturesTest, ACoarserFormatIsBeyondTheBounds) {
  const Answers six = Ask(RungFile({GetParam(), ""}, Rung::kQ6_K), "ref", tokens_, {});
  EXPECT_GT(Rms(six.last, last_), own_.last);
  EXPECT_GT(Rms(six.nll, nll_), own_.nll);
  const Answers four = Ask(RungFile({GetParam(), ""}, Rung::kQ4_0), "cpu", tokens_, {});
  EXPECT_GT(Rms(four.last, last_), kRoundedActivations * own_.last);
  EXPECT_GT(Rms(four.nll, nll_), kRoundedActivations * own_.nll);
}

INSTANTIATE_TEST_SUITE_P(Models, ArchitecturesTest,
                         testing::Values("tiny-qwen35moe", "tiny-gemma3", "tiny-qwen3", "tiny-llama"),
                         [](const auto& case_info) { return TestName(case_info.param); });

INSTANTIATE_TEST_SUITE_P(Models, DenseArchitecturesTest, testing::Values("tiny-gemma3", "tiny-qwen3", "tiny-llama"),
                         [](const auto& case_info) { return TestName(case_info.param); });

// ---- Both backends compute the same file.

// A product summed in float32 is the exact product of weights that are each a little off: for n columns by a relative
// sqrt(n) 2^-24, times a small factor for its probability (Higham and Mary, SIAM J. Sci. Comput. 41, 2019). The bounds
// of all that is not a product are a few 2^-24 (tests/conformance), less than that. So weights moved at random by that
// much show what the arithmetic may do. Above 32 tokens cpu takes 16-bit codes of both sides, in blocks of 32 with
// steps of max(largest / 32767, norm / 46336); an activation's step is at most sqrt(2) of a weight's, relative to its
// block, so that both together move a product as weights do that are moved by sqrt(3) times the deviation of rounding
// them. With weights in blocks of codes, cpu takes 8-bit codes of activations, in blocks of 32 with a step of (largest
// activation) / 127. That is at most their norm / 127, and moves a product no more than weights do that are moved, at
// random, by (norm of their block) / 127 / sqrt(12).
enum class Arithmetic { kFloat32, kShorts, kBytes };

void MoveRow(std::span<float> row, Arithmetic arithmetic, Rng& rng) {
  if (arithmetic == Arithmetic::kFloat32) {
    const double deviation = std::sqrt(static_cast<double>(row.size())) * 0x1p-24;
    for (float& weight : row) weight *= static_cast<float>(1.0 + rng.Normal() * deviation);
    return;
  }
  constexpr size_t kBlock = 32;
  for (size_t begin = 0; begin < row.size(); begin += kBlock) {
    const std::span<float> block = row.subspan(begin, std::min(kBlock, row.size() - begin));
    double most = 0.0, squares = 0.0;
    for (const float weight : block) {
      most = std::max(most, std::abs(static_cast<double>(weight)));
      squares += static_cast<double>(weight) * static_cast<double>(weight);
    }
    const double deviation = arithmetic == Arithmetic::kBytes
                                 ? std::sqrt(squares / 12) / 127
                                 : std::max(most / 32767, std::sqrt(squares) / 46336) * std::sqrt(3.0 / 12);
    for (float& weight : block) weight += static_cast<float>(rng.Normal() * deviation);
  }
}

// The file in float32, with its F16 tensors and those in blocks of codes moved: each by what is done with it, kBytes
// with blocks alone.
std::filesystem::path MovedFile(const std::filesystem::path& path, Arithmetic arithmetic, uint64_t seed) {
  const GgufFile file = GgufFile::Open(path);
  std::vector<GgufTensorInfo> tensors;
  for (const GgufTensor& tensor : file.tensors()) tensors.push_back({tensor.name, tensor.shape, Format::kF32});
  std::filesystem::path moved = TemporaryPath(path.stem().string() + "-moved.gguf");
  GgufWriter writer(moved, file.metadata(), tensors);
  Rng rng(seed);
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<float> values(tensor.rows() * tensor.row_length());
    TraitsOf(tensor.format).decode(tensor.data.data(), values.data(), static_cast<int64_t>(values.size()));
    const bool blocks = TraitsOf(tensor.format).block_size > 1;
    const Arithmetic own = arithmetic == Arithmetic::kBytes && !blocks ? Arithmetic::kFloat32 : arithmetic;
    for (size_t row = 0; tensor.format != Format::kF32 && row < tensor.rows(); ++row) {
      MoveRow(std::span(values).subspan(row * tensor.row_length(), tensor.row_length()), own, rng);
    }
    writer.WriteData({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
  }
  writer.Finish();
  return moved;
}

std::vector<float> AllLogits(const std::filesystem::path& file, const std::string& backend_name,
                             std::span<const Token> tokens, int chunk) {
  const std::unique_ptr<Model> model = Model::Open(file);
  const std::unique_ptr<Backend> backend = MakeBackend(backend_name, 2);
  Engine engine(*model, *backend);
  Session session(engine, {.context = static_cast<int>(tokens.size()), .cache = CacheType::kF32, .chunk = chunk});
  const std::span<const float> logits = session.Forward(tokens, Logits::kAll);
  return {logits.begin(), logits.end()};
}

// A bundled model in F16, or one of those with known answers.
struct ComputedModel {
  std::string name;
  bool bundled = true;
  bool blocks = false;  // some of its weights are in blocks of codes

  std::filesystem::path File() const { return bundled ? RungFile({name, ""}, Rung::kF16) : KnownModelFile(name); }
  std::vector<Token> Tokens() const {
    return bundled ? Golden(name)["tokens"].get<std::vector<Token>>() : AnswersOf(name).tokens;
  }
};

std::vector<ComputedModel> ComputedModels() {
  std::vector<ComputedModel> models = {
      {"tiny-qwen35-draft"}, {"tiny-qwen35moe"}, {"tiny-gemma3"}, {"tiny-qwen3"}, {"tiny-llama"}};
  for (const std::string& name : KnownModels()) {
    const GgufFile file = GgufFile::Open(KnownModelFile(name));
    const bool blocks = std::ranges::any_of(
        file.tensors(), [](const GgufTensor& tensor) { return TraitsOf(tensor.format).block_size > 1; });
    models.push_back({name, false, blocks});
  }
  return models;
}

class ArithmeticTest : public testing::TestWithParam<ComputedModel> {};

TEST_P(ArithmeticTest, OfCpuIsAsFarFromTheOraclesAsItsRoundingPutsIt) {
  const std::filesystem::path file = GetParam().File();
  std::vector<Token> tokens = GetParam().Tokens();
  tokens.resize(96);
  const std::vector<float> exact = AllLogits(file, "ref", tokens, 512);
  const auto bound = [&](Arithmetic arithmetic) {
    std::vector<double> samples;
    for (uint64_t seed = 1; seed <= kSamples; ++seed) {
      samples.push_back(Rms(AllLogits(MovedFile(file, arithmetic, seed), "ref", tokens, 512), exact));
    }
    return MostOfAFurtherDraw(samples);
  };
  struct Way {
    Arithmetic arithmetic;
    int chunk;
  };
  std::vector<Way> ways = {{Arithmetic::kFloat32, 32}, {Arithmetic::kShorts, 512}};
  if (GetParam().blocks) ways = {{Arithmetic::kBytes, 32}, {Arithmetic::kBytes, 512}};
  // It bites: coarser arithmetic is beyond the bound of a finer one.
  double finer = GetParam().blocks ? bound(Arithmetic::kFloat32) : 0.0;
  for (const Way way : ways) {
    const double allowed = bound(way.arithmetic);
    const std::vector<float> found = AllLogits(file, "cpu", tokens, way.chunk);
    RecordProperty("off_of_allowed_in_chunks_of_" + std::to_string(way.chunk),
                   std::to_string(Rms(found, exact) / allowed));
    EXPECT_LT(Rms(found, exact), allowed) << "chunks of " << way.chunk;
    EXPECT_GT(Rms(found, exact), finer) << "chunks of " << way.chunk;
    if (!GetParam().blocks) finer = allowed;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ArithmeticTest, testing::ValuesIn(ComputedModels()),
                         [](const auto& case_info) { return TestName(case_info.param.name); });

}  // namespace
}  // namespace assay
