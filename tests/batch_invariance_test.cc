// A token's logits are the same bits whatever else is in the batch: whole models, every architecture, rung, instruction
// set and number of threads (tests/conformance holds each operation to it).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "engine/session.h"
#include "model/model_spec.h"
#include "study_models.h"

namespace assay {
namespace {

// Null where the machine does not have the instruction set.
std::unique_ptr<Backend> BackendIfPresent(const std::string& name, int threads) {
  try {
    return MakeBackend(name, threads);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    return nullptr;
  }
}

std::vector<Token> RandomTokens(size_t count, int vocab) {
  Rng rng(11);
  std::vector<Token> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<Token>(rng.Below(static_cast<uint64_t>(vocab))));
  return tokens;
}

using Bits = std::vector<uint32_t>;  // of logits

// The text in batches of these sizes, all logits of it.
Bits LogitBits(const Model& model, Backend& backend, std::span<const Token> text, std::span<const int> batches,
               Arithmetic arithmetic = Arithmetic::kEveryday) {
  Engine engine(model, backend);
  Session session(engine, {.context = static_cast<int>(text.size()), .arithmetic = arithmetic});
  Bits bits(text.size() * static_cast<size_t>(model.spec.vocab));
  size_t token = 0;
  for (const int size : batches) {
    const auto count = static_cast<size_t>(size);
    const std::span<const float> logits = session.Forward(text.subspan(token, count), Logits::kAll);
    std::memcpy(&bits[token * static_cast<size_t>(model.spec.vocab)], logits.data(), logits.size_bytes());
    token += count;
  }
  return bits;
}

// The first token whose logits differ.
std::optional<size_t> FirstDifference(const Bits& a, const Bits& b, size_t vocab) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin());
  if (in_a == a.end()) return std::nullopt;
  return static_cast<size_t>(in_a - a.begin()) / vocab;
}

class BatchInvarianceTest : public testing::TestWithParam<std::tuple<StudyModel, std::string>> {
 protected:
  // Batches of the sizes, one after the other, against single tokens on one thread.
  void Compare(std::span<const Rung> rungs, std::span<const int> batches, std::span<const int> threads) {
    const auto& [study, isa] = GetParam();
    if (BackendIfPresent(isa, 1) == nullptr) GTEST_SKIP() << "this machine has no " << isa;
    size_t length = 0;
    for (const int size : batches) length += static_cast<size_t>(size);
    for (const Rung rung : rungs) {
      const std::unique_ptr<Model> model = Model::Open(RungFile(study, rung));
      const std::vector<Token> text = RandomTokens(length, model->spec.vocab);
      const Bits single = LogitBits(*model, *MakeBackend(isa, 1), text, std::vector<int>(length, 1));
      for (const int count : threads) {
        const Bits batched = LogitBits(*model, *MakeBackend(isa, count), text, batches);
        const auto difference = FirstDifference(single, batched, static_cast<size_t>(model->spec.vocab));
        EXPECT_FALSE(difference) << model->file.path() << ", " << isa << ", " << count << " threads: token "
                                 << difference.value_or(0);
      }
    }
  }
};

TEST_P(BatchInvarianceTest, BatchesGiveTheBitsOfSingleTokens) {
  const std::vector<Rung> rungs = UsualRungs();
  if (std::get<1>(GetParam()) == "cpu:portable") {  // tens of times slower
    Compare(rungs, std::vector<int>{2, 9}, std::vector<int>{2});
  } else {
    Compare(rungs, std::vector<int>{2, 5, 16, 17, kInvariantTokens}, std::vector<int>{2, 3});
  }
}

// Without an end to the sizes, and with bits that are not those of everyday arithmetic.
TEST_P(BatchInvarianceTest, SoDoesFineArithmeticInBatchesOfAnySize) {
  const auto& [study, isa] = GetParam();
  if (BackendIfPresent(isa, 1) == nullptr) GTEST_SKIP() << "this machine has no " << isa;
  const std::vector<int> batches = isa == "cpu:portable" ? std::vector<int>{2, 9} : std::vector<int>{5, 33, 70};
  const auto length = static_cast<size_t>(std::accumulate(batches.begin(), batches.end(), 0));
  const auto backend = MakeBackend(isa, 2);
  for (const Rung rung : {Rung::kF16, Rung::kQ8_0, Rung::kQ4_K_M}) {
    const std::unique_ptr<Model> model = Model::Open(RungFile(study, rung));
    const std::vector<Token> text = RandomTokens(length, model->spec.vocab);
    const Bits batched = LogitBits(*model, *backend, text, batches, Arithmetic::kFine);
    EXPECT_EQ(batched, LogitBits(*model, *backend, text, std::vector<int>(length, 1), Arithmetic::kFine));
    if (rung == Rung::kF16) continue;  // the same up to 33 tokens
    EXPECT_NE(batched, LogitBits(*model, *backend, text, batches));
  }
}

// Batches of all sizes whose bits are promised. Hours on the portable kernels: `./run nightly`.
TEST_P(BatchInvarianceTest, DISABLED_FullGrid) {
  const std::vector<Rung> rungs = UsualRungs();
  std::vector<int> sizes;
  for (int size = 1; size <= kInvariantTokens; ++size) sizes.push_back(size);
  Compare(rungs, sizes, std::vector<int>{1, 2, 3});
}

INSTANTIATE_TEST_SUITE_P(Models, BatchInvarianceTest,
                         testing::Combine(testing::ValuesIn(StudyModels().begin(), StudyModels().end()),
                                          testing::Values("cpu:portable", "cpu:avx2", "cpu:avx512")),
                         [](const auto& case_info) {
                           return TestName(std::get<0>(case_info.param).name + "_" + std::get<1>(case_info.param));
                         });

}  // namespace
}  // namespace assay
