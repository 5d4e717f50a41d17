#include "remote/wire.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace assay {
namespace {

// Through bytes, as the network has them.
template <typename Message>
Message Sent(const Message& message) {
  Message received;
  EXPECT_TRUE(received.ParseFromString(message.SerializeAsString()));
  return received;
}

TEST(Wire, ARequestComesAsItWasSent) {
  const BurstRequest request{
      .id = 7,
      .position = 100,
      .hash = 0xFEDCBA9876543210ULL,
      .tokens = {1, 248000, 3},
      .count = 4,
      .sampling = SeededSampling{{.temperature = 0.7F, .top_k = 40, .top_p = 0.9F, .min_p = 0.05F}, 99},
      .answered = true};
  const BurstRequest read = Read(Sent(Write(request)).burst());
  EXPECT_EQ(read.id, request.id);
  EXPECT_EQ(read.position, request.position);
  EXPECT_EQ(read.hash, request.hash);
  EXPECT_EQ(read.tokens, request.tokens);
  EXPECT_EQ(read.count, request.count);
  ASSERT_TRUE(read.sampling);
  EXPECT_EQ(read.sampling->options.temperature, 0.7F);
  EXPECT_EQ(read.sampling->options.top_k, 40);
  EXPECT_EQ(read.sampling->seed, 99U);
  EXPECT_TRUE(read.answered);
}

BurstAnswer SampledAnswer() {
  BurstAnswer answer{
      .id = 7, .key = 5, .tokens = {40, 3}, .logit_hashes = {6, 7}, .compute_seconds = 0.25, .ahead = true};
  answer.proposals = {{{0, 40, 41}, {1, 65535, 7}, 0.125}, {{3}, {65535}, 0.0}};
  return answer;
}

TEST(Wire, AnAnswerComesAsItWasSent) {
  const BurstAnswer read = Read(Sent(Write(SampledAnswer())).answer());
  EXPECT_EQ(read.id, 7U);
  EXPECT_EQ(read.key, 5U);
  EXPECT_EQ(read.tokens, (std::vector<Token>{40, 3}));
  EXPECT_EQ(read.logit_hashes, (std::vector<uint64_t>{6, 7}));
  ASSERT_EQ(read.proposals.size(), 2U);
  EXPECT_EQ(read.proposals[0].tokens, (std::vector<Token>{0, 40, 41}));
  EXPECT_EQ(read.proposals[0].weights, (std::vector<uint16_t>{1, 65535, 7}));
  EXPECT_EQ(read.proposals[0].tail, 0.125);
  EXPECT_NEAR(read.compute_seconds, 0.25, 1e-9);
  EXPECT_TRUE(read.ahead);
}

TEST(Wire, ASampledBurstIsAFewHundredBytes) {
  BurstAnswer answer{.id = 1000,
                     .key = ~0ULL,
                     .tokens = {200000, 200001, 200002, 200003},
                     .logit_hashes = {~0ULL, ~0ULL, ~0ULL, ~0ULL}};
  for (int i = 0; i < 4; ++i) {
    Proposal proposal{.tail = 0.01};
    for (int j = 0; j < 20; ++j) {
      proposal.tokens.push_back(j * 10000 + (j == 19 ? 10000 + i : 0));
      proposal.weights.push_back(static_cast<uint16_t>(65535 - j * 3000));
    }
    answer.proposals.push_back(proposal);
  }
  EXPECT_LT(Write(answer).SerializeAsString().size(), 600U);
  answer.proposals.clear();
  EXPECT_LT(Write(answer).SerializeAsString().size(), 96U);
}

TEST(Wire, RefusesWhatNoServerSends) {
  const auto refused = [](const auto& spoil) {
    wire::FromServer message = Write(SampledAnswer());
    spoil(*message.mutable_answer());
    EXPECT_THROW(Read(message.answer()), Error);
  };
  refused([](wire::BurstAnswer& a) { a.set_tokens(0, 0x80000000U); });
  refused([](wire::BurstAnswer& a) { a.set_tokens(0, 42); });  // not in its proposal
  refused([](wire::BurstAnswer& a) { a.mutable_proposals()->RemoveLast(); });
  refused([](wire::BurstAnswer& a) { a.mutable_proposals(0)->set_token_steps(1, 0); });
  refused([](wire::BurstAnswer& a) { a.mutable_proposals(0)->set_token_steps(1, 0xFFFFFFFFU); });
  refused([](wire::BurstAnswer& a) { a.mutable_proposals(0)->set_weights(1, 0); });
  refused([](wire::BurstAnswer& a) { a.mutable_proposals(0)->set_weights(1, 65536); });
  refused([](wire::BurstAnswer& a) { a.mutable_proposals(0)->add_weights(1); });
  refused([](wire::BurstAnswer& a) { a.mutable_proposals(1)->Clear(); });
}

TEST(Wire, RefusesWhatNoClientSends) {
  wire::Hello hello = Write(DraftHello{.protocol = 1}).hello();
  hello.set_client(std::string(2000, 'x'));
  EXPECT_THROW(Read(hello), Error);
  wire::BurstRequest burst;
  burst.set_count(0xFFFFFFFFU);
  EXPECT_THROW(Read(burst), Error);
}

}  // namespace
}  // namespace assay
