#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "remote/proposal.h"

namespace assay {

// The messages of draft.proto as the program works with them, checked (remote/wire.h).

struct DraftHello {
  uint32_t protocol = 0;
  std::string client = {};
  std::string tokenizer_digest = {};
  std::string model_digest = {};  // empty: any
  int context = 0;
  int max_draft = 0;
  double min_probability = 0.0;
  bool ahead = false;
};

struct DraftWelcome {
  uint32_t protocol = 0;
  std::string server = {};
  std::string backend = {};
  std::string device = {};
  std::string machine = {};
  std::string process = {};
  std::string model_name = {};
  std::string model_digest = {};
  std::string tokenizer_digest = {};
  int context = 0;
  uint64_t session = 0;
  bool ahead = false;
};

struct SeededSampling {
  SamplingOptions options;
  uint64_t seed = 0;
};

struct BurstRequest {
  uint32_t id = 0;
  uint32_t position = 0;           // tokens of the text before that are still right
  uint64_t hash = 0;               // HashedText::HashAt() that position
  std::vector<Token> tokens = {};  // what follows them
  int count = 0;                   // guesses wanted; 0: the text is only read
  std::optional<SeededSampling> sampling = {};
  bool answered = false;  // the client has the answer already
};

struct BurstAnswer {
  uint32_t id = 0;   // 0: pushed
  uint64_t key = 0;  // hash of the text that the guesses follow
  std::vector<Token> tokens = {};
  std::vector<Proposal> proposals = {};  // empty for greedy guesses
  // Over the rows of logits so far (decode/top_hash.h): of each guess, and of one that ended them.
  std::vector<uint64_t> logit_hashes = {};
  double compute_seconds = 0.0;
  double queue_seconds = 0.0;
  double server_seconds = 0.0;
  bool ahead = false;   // it was ready when it was asked for
  bool resync = false;  // the server lacks the text before
  int64_t bytes = 0;    // that it came in
  int full_at = 0;      // tokens that the context holds, when the text has more
};

}  // namespace assay
