// The messages of a draft's stream from any bytes: they are read or refused, and what is read can be applied to a
// session, which gives a sound answer or refuses. The first byte says who speaks; then come messages, each behind two
// bytes of length.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/loaded_model.h"
#include "remote/draft_session.h"
#include "remote/wire.h"

namespace assay {
namespace {

constexpr int kContext = 24;
constexpr int kMaxDraft = 3;
// All that is drafted ahead of one request: a bonus, and a few continuations.
constexpr int kMostSteps = 1 + 8 * kMaxDraft;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

LoadedModel& Model() {
  static const std::unique_ptr<Backend> backend = MakeBackend("cpu", 1);
  static LoadedModel model(std::filesystem::path(ASSAY_SOURCE_DIR) / "models/tiny-qwen35-draft.gguf", *backend);
  return model;
}

void CheckAnswer(const BurstAnswer& answer, int count, int vocab) {
  Require(answer.tokens.size() <= static_cast<size_t>(count), "more guesses than were asked for");
  for (const Token token : answer.tokens) Require(token >= 0 && token < vocab, "a guess that is no token");
  const BurstAnswer again = Read(Write(answer).answer());
  Require(again.tokens == answer.tokens && again.key == answer.key, "an answer that the client reads otherwise");
}

void Apply(std::optional<DraftSession>& session, const BurstRequest& request) {
  LoadedModel& model = Model();
  if (!session) session.emplace(model.engine, DraftSessionOptions{.context = kContext, .max_draft = kMaxDraft});
  const int vocab = model.model->spec.vocab;
  try {
    CheckAnswer(session->Apply(request), request.count, vocab);
    int steps = 0;
    while (session->Ahead()) Require(++steps <= kMostSteps, "drafts ahead without end");
    for (const BurstAnswer& pushed : session->TakePushed()) CheckAnswer(pushed, request.count, vocab);
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kUsage, error.what());
  }
}

void FromClient(std::optional<DraftSession>& session, std::string_view bytes) {
  wire::FromClient message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  try {
    if (message.has_hello()) Read(message.hello());
    if (message.has_burst()) Apply(session, Read(message.burst()));
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kUsage, error.what());
  }
}

void FromServer(std::string_view bytes) {
  wire::FromServer message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  try {
    if (message.has_welcome()) Read(message.welcome());
    if (!message.has_answer()) return;
    for (const Proposal& proposal : Read(message.answer()).proposals) {
      const Distribution distribution = proposal.distribution();
      Rng rng(1);
      Require(distribution.ProbabilityOf(distribution.Draw(rng)) > 0.0, "a draw of what cannot be");
    }
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kUsage, error.what());
  }
}

void Run(std::string_view bytes) {
  if (bytes.empty()) return;
  const bool client = bytes.front() % 2 == 0;
  bytes.remove_prefix(1);
  std::optional<DraftSession> session;
  while (bytes.size() >= 2) {
    const size_t length = static_cast<uint8_t>(bytes[0]) + 256U * static_cast<uint8_t>(bytes[1]);
    bytes.remove_prefix(2);
    const std::string_view message = bytes.substr(0, length);
    bytes.remove_prefix(message.size());
    if (client) {
      FromClient(session, message);
    } else {
      FromServer(message);
    }
  }
}

}  // namespace
}  // namespace assay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  assay::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
