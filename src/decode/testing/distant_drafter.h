#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "decode/drafter.h"

namespace assay {

struct DistantDrafterOptions {
  DrafterIdentity identity = {.backend = "cpu",
                              .device = "another processor",
                              .machine = "00000000000000aa",
                              .process = "00000000000000bb",
                              .model_digest = "digest",
                              .address = "grpc://distant:1"};
  std::chrono::microseconds round_trip{0};
  std::set<int> failing = {};  // bursts, counted from the start
};

// A drafter that has another one compute on a thread of its own and says what one on another machine would: the other
// one's engine must have a backend that nobody else uses.
class DistantDrafter : public Drafter {
 public:
  explicit DistantDrafter(std::unique_ptr<Drafter> inner, DistantDrafterOptions options = {})
      : inner_(std::move(inner)),
        options_(std::move(options)),
        who_(std::make_shared<const DrafterIdentity>(options_.identity)) {}
  ~DistantDrafter() override { Drop(); }

  // Counts the bursts anew.
  void Restart() { bursts_ = 0; }

  std::string description() const override { return "distant " + inner_->description(); }

  std::shared_ptr<const DrafterIdentity> identity() const override { return who_; }

  void Prepare(std::span<const Token> prompt) override {
    Drop();
    failure_.reset();
    inner_->Prepare(prompt);
  }

  void Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) override {
    Drop();
    const uint64_t seed = sampling.temperature > 0.0F ? rng.Next() : 0;
    coming_ = std::async(std::launch::async,
                         [this, own = std::vector<Token>(text.begin(), text.end()), count, sampling, seed] {
                           Rng drawn(seed);
                           std::this_thread::sleep_for(options_.round_trip);
                           return DraftNow(*inner_, own, count, sampling, drawn);
                         });
  }

  Draft Take() override {
    const bool in_time = coming_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    Draft draft = coming_.get();
    if (options_.failing.contains(bursts_++)) {
      failure_ = "lost the connection to " + options_.identity.address;
      return {.tokens = {}, .distributions = {}, .evidence = {.who = nullptr, .failed = true}};
    }
    draft.evidence.who = who_;
    draft.evidence.wire_seconds = std::chrono::duration<double>(options_.round_trip).count();
    draft.evidence.sent_bytes = 40;
    draft.evidence.received_bytes = 60 + 2 * static_cast<int64_t>(draft.tokens.size());
    draft.evidence.in_time = in_time;
    return draft;
  }

  std::optional<int> full_at() const override { return inner_->full_at(); }
  std::optional<std::string> failure() const override { return failure_; }

 private:
  void Drop() {
    if (coming_.valid()) coming_.wait();
    coming_ = {};
  }

  std::unique_ptr<Drafter> inner_;
  DistantDrafterOptions options_;
  std::shared_ptr<const DrafterIdentity> who_;
  std::future<Draft> coming_;
  int bursts_ = 0;
  std::optional<std::string> failure_;
};

}  // namespace assay
