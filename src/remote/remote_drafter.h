#pragma once

#include <memory>
#include <string>

#include "decode/drafter.h"
#include "remote/burst.h"

namespace assay {

struct RemoteDrafterOptions {
  std::string url;               // grpc://HOST:PORT, grpcs://HOST:PORT with TLS
  std::string token;             // the server's, empty: none
  std::string tls_ca;            // PEM of who signs its certificate; empty: the system's
  std::string tokenizer_digest;  // DraftVocabularyDigest() of the target's
  std::string model_digest;      // of the draft model that must answer; empty: any
  int vocab = 0;                 // tokens of the target: no guess is beyond them
  int context = 0;               // tokens that a text may have; 0: as many as the server gives
  int max_draft = 32;            // the largest `count` that will be asked for
  double min_probability = 0.0;  // as ModelDrafterOptions
  bool ahead = true;             // whether the server is to draft before it is asked
  double connect_seconds = 5.0;  // for the first connection
  double answer_seconds = 2.0;   // for a burst, and 10 ms more for each token that the server has to read first
};

// Drafts with the model of a draft server (assay draft-server, docs/remote.md). When the server fails, or is late, the
// text goes on without guesses; the connection is made anew meanwhile, after pauses that grow, and no round waits for
// it.
class RemoteDrafter : public Drafter {
 public:
  virtual const DraftWelcome& server() const = 0;  // what it says of itself
};

// Connects. Throws kUsage for an address that is none or may not be used in the clear, a wrong token, another tokenizer
// or model; kUnsupported for another version of the protocol; kIo for a server that cannot be reached, has another
// certificate or no session left.
std::unique_ptr<RemoteDrafter> MakeRemoteDrafter(const RemoteDrafterOptions& options);

}  // namespace assay
