#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "engine/session.h"
#include "remote/burst.h"
#include "remote/hashed_text.h"

namespace assay {

struct DraftSessionOptions {
  int context = 0;  // as SessionOptions::context
  CacheType cache = CacheType::kF16;
  int max_draft = 32;            // the largest BurstRequest::count
  int proposal_size = 20;        // tokens of a Proposal
  double min_probability = 0.0;  // a draft ends before a guess that the model itself holds less likely
  bool ahead = true;
};

// The engine's options for such a session: what it will take is MemoryOf() them.
SessionOptions EngineOptions(const DraftSessionOptions& options);

// One text of a remote client, drafted for burst by burst: the server's side without the network. Its guesses depend on
// the text, the count and the seed alone, never on what was drafted ahead or when; greedy ones are those of
// MakeModelDrafter(). Not for two threads, nor beside another session of the engine.
//
// Drafting ahead: behind an answer, Ahead() continues the text as it will be if all guesses are taken and the target's
// own token is the draft model's, then as it will be by the likeliest refusals. What is complete is pushed, keyed by
// the hash of the text that it follows, and serves the next request if it is for that text.
class DraftSession {
 public:
  // The engine must outlive it. Throws kUsage for options that no session can have.
  DraftSession(Engine& engine, const DraftSessionOptions& options);

  int context() const { return session_.context(); }

  // Follows the text and answers; all of the answer but its queue and server seconds. Throws kUsage for a request that
  // makes no sense (the state is then unchanged), kInvalid for logits that are not finite.
  BurstAnswer Apply(const BurstRequest& request);

  // Drafts ahead by one forward pass. Returns whether there is more to do.
  bool Ahead();
  // Answers that became complete since.
  std::vector<BurstAnswer> TakePushed();

 private:
  // What of a guess tells how the target may decide, by the draft model's softmax.
  struct Doubt {
    double chance = 0.0;  // of the guess
    Token other = 0;      // the likeliest one beside it
    double other_chance = 0.0;
  };
  struct Branch {
    std::vector<Token> outcome;  // what the target may append to the text first
    uint64_t key = 0;            // hash of the text and that
    double chance = 1.0;
    std::vector<Token> tokens;
    std::vector<Proposal> proposals;
    std::vector<Doubt> doubts;
    std::vector<Hash> rows;  // of the logits up to each guess, and of those that ended it
    double seconds = 0.0;
    bool ended = false;  // there is no further guess
  };

  void Check(const BurstRequest& request) const;
  void Continue(const BurstRequest& request);
  Branch TakeBranch();
  void Read();
  void Extend(Branch& branch);
  Doubt DoubtOf(std::span<const float> logits, Token top, Token guess);
  std::span<const float> Decode(std::span<const Token> path);
  void GoBackTo(std::span<const Token> path);
  BurstAnswer AnswerOf(const Branch& branch) const;
  void PlanAhead();
  void FindBonus();
  void AddBranch(std::span<const Token> guesses, Token other, double chance);

  DraftSessionOptions options_;
  int vocab_;
  std::string whose_;  // in messages
  int rollback_;
  Session session_;
  int settled_ = 0;  // tokens of the session that cannot be undone
  HashedText text_;
  SeededSampling sampling_;
  int count_ = 0;  // guesses that were asked for last
  Branch current_;
  std::vector<Branch> branches_;
  bool bonus_known_ = true;
  std::vector<BurstAnswer> pushed_;
};

}  // namespace assay
