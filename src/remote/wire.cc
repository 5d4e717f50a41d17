#include "remote/wire.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

constexpr uint32_t kMostTokenId = std::numeric_limits<Token>::max();
constexpr size_t kLongestName = 1024;

int ReadInt(uint32_t value, const char* what) {
  if (value > kMostTokenId)
    Fail(ErrorKind::kUsage, "a message of a draft's stream has {} {}; it is too large", what, value);
  return static_cast<int>(value);
}

std::string ReadName(const std::string& name, const char* what) {
  if (name.size() > kLongestName) {
    Fail(ErrorKind::kUsage, "a message of a draft's stream has {} of {} bytes; it is too long", what, name.size());
  }
  return name;
}

template <typename Numbers>
std::vector<Token> ReadTokens(const Numbers& numbers) {
  std::vector<Token> tokens;
  tokens.reserve(static_cast<size_t>(numbers.size()));
  for (const uint32_t number : numbers) tokens.push_back(ReadInt(number, "a token"));
  return tokens;
}

Proposal ReadProposal(const wire::Proposal& message) {
  Proposal proposal;
  uint64_t token = 0;
  for (int i = 0; i < message.token_steps_size(); ++i) {
    const uint32_t step = message.token_steps(i);
    token += step;
    if ((i > 0 && step == 0) || token > kMostTokenId) {
      Fail(ErrorKind::kUsage, "a proposal's tokens do not rise, or are too large");
    }
    proposal.tokens.push_back(static_cast<Token>(token));
  }
  for (const uint32_t weight : message.weights()) {
    if (weight == 0 || weight > std::numeric_limits<uint16_t>::max()) {
      Fail(ErrorKind::kUsage, "a proposal has a weight of {}; they are 1 to 65535", weight);
    }
    proposal.weights.push_back(static_cast<uint16_t>(weight));
  }
  if (proposal.tokens.empty() || proposal.tokens.size() != proposal.weights.size()) {
    Fail(ErrorKind::kUsage, "a proposal has {} tokens and {} weights", proposal.tokens.size(), proposal.weights.size());
  }
  proposal.tail = static_cast<double>(message.tail());
  return proposal;
}

double Seconds(uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }
uint64_t Nanoseconds(double seconds) { return static_cast<uint64_t>(std::max(0.0, seconds) * 1e9); }

}  // namespace

DraftHello Read(const wire::Hello& message) {
  return {.protocol = message.protocol(),
          .client = ReadName(message.client(), "a client's name"),
          .tokenizer_digest = ReadName(message.tokenizer_digest(), "a digest"),
          .model_digest = ReadName(message.model_digest(), "a digest"),
          .context = ReadInt(message.context(), "a context"),
          .max_draft = ReadInt(message.max_draft(), "a longest draft"),
          .min_probability = message.min_probability(),
          .ahead = message.ahead()};
}

DraftWelcome Read(const wire::Welcome& message) {
  return {.protocol = message.protocol(),
          .server = ReadName(message.server(), "a server's name"),
          .backend = ReadName(message.backend(), "a backend's name"),
          .device = ReadName(message.device(), "a device's name"),
          .machine = ReadName(message.machine(), "a machine's name"),
          .process = ReadName(message.process(), "a process's name"),
          .model_name = ReadName(message.model_name(), "a model's name"),
          .model_digest = ReadName(message.model_digest(), "a digest"),
          .tokenizer_digest = ReadName(message.tokenizer_digest(), "a digest"),
          .context = ReadInt(message.context(), "a context"),
          .session = message.session(),
          .ahead = message.ahead()};
}

BurstRequest Read(const wire::BurstRequest& message) {
  BurstRequest request{.id = message.id(),
                       .position = message.position(),
                       .hash = message.hash(),
                       .tokens = ReadTokens(message.tokens()),
                       .count = ReadInt(message.count(), "a count"),
                       .answered = message.answered()};
  if (message.has_sampling()) {
    const wire::Sampling& sampling = message.sampling();
    request.sampling = {.options = {.temperature = sampling.temperature(),
                                    .top_k = ReadInt(sampling.top_k(), "a top-k"),
                                    .top_p = sampling.top_p(),
                                    .min_p = sampling.min_p()},
                        .seed = sampling.seed()};
  }
  return request;
}

BurstAnswer Read(const wire::BurstAnswer& message) {
  BurstAnswer answer{.id = message.id(),
                     .key = message.key(),
                     .tokens = ReadTokens(message.tokens()),
                     .logit_hashes = {message.logit_hashes().begin(), message.logit_hashes().end()},
                     .compute_seconds = Seconds(message.compute_ns()),
                     .queue_seconds = Seconds(message.queue_ns()),
                     .server_seconds = Seconds(message.server_ns()),
                     .ahead = message.ahead(),
                     .resync = message.resync(),
                     .full_at = ReadInt(message.full_at(), "a context")};
  for (const wire::Proposal& proposal : message.proposals()) answer.proposals.push_back(ReadProposal(proposal));
  if (!answer.proposals.empty() && answer.proposals.size() != answer.tokens.size()) {
    Fail(ErrorKind::kUsage, "a burst has {} guesses and {} proposals", answer.tokens.size(), answer.proposals.size());
  }
  for (size_t i = 0; i < answer.proposals.size(); ++i) {
    if (!std::ranges::binary_search(answer.proposals[i].tokens, answer.tokens[i])) {
      Fail(ErrorKind::kUsage, "a burst's guess {} is not in the proposal that it was drawn from", answer.tokens[i]);
    }
  }
  return answer;
}

wire::FromClient Write(const DraftHello& hello) {
  wire::FromClient message;
  wire::Hello& to = *message.mutable_hello();
  to.set_protocol(hello.protocol);
  to.set_client(hello.client);
  to.set_tokenizer_digest(hello.tokenizer_digest);
  to.set_model_digest(hello.model_digest);
  to.set_context(static_cast<uint32_t>(hello.context));
  to.set_max_draft(static_cast<uint32_t>(hello.max_draft));
  to.set_min_probability(hello.min_probability);
  to.set_ahead(hello.ahead);
  return message;
}

wire::FromServer Write(const DraftWelcome& welcome) {
  wire::FromServer message;
  wire::Welcome& to = *message.mutable_welcome();
  to.set_protocol(welcome.protocol);
  to.set_server(welcome.server);
  to.set_backend(welcome.backend);
  to.set_device(welcome.device);
  to.set_machine(welcome.machine);
  to.set_process(welcome.process);
  to.set_model_name(welcome.model_name);
  to.set_model_digest(welcome.model_digest);
  to.set_tokenizer_digest(welcome.tokenizer_digest);
  to.set_context(static_cast<uint32_t>(welcome.context));
  to.set_session(welcome.session);
  to.set_ahead(welcome.ahead);
  return message;
}

wire::FromClient Write(const BurstRequest& request) {
  wire::FromClient message;
  wire::BurstRequest& to = *message.mutable_burst();
  to.set_id(request.id);
  to.set_position(request.position);
  to.set_hash(request.hash);
  to.mutable_tokens()->Reserve(static_cast<int>(request.tokens.size()));
  for (const Token token : request.tokens) to.add_tokens(static_cast<uint32_t>(token));
  to.set_count(static_cast<uint32_t>(request.count));
  to.set_answered(request.answered);
  if (request.sampling) {
    wire::Sampling& sampling = *to.mutable_sampling();
    sampling.set_temperature(request.sampling->options.temperature);
    sampling.set_top_k(static_cast<uint32_t>(request.sampling->options.top_k));
    sampling.set_top_p(request.sampling->options.top_p);
    sampling.set_min_p(request.sampling->options.min_p);
    sampling.set_seed(request.sampling->seed);
  }
  return message;
}

wire::FromServer Write(const BurstAnswer& answer) {
  wire::FromServer message;
  wire::BurstAnswer& to = *message.mutable_answer();
  to.set_id(answer.id);
  to.set_key(answer.key);
  for (const Token token : answer.tokens) to.add_tokens(static_cast<uint32_t>(token));
  for (const Proposal& proposal : answer.proposals) {
    wire::Proposal& part = *to.add_proposals();
    Token before = 0;
    for (const Token token : proposal.tokens)
      part.add_token_steps(static_cast<uint32_t>(token - std::exchange(before, token)));
    for (const uint16_t weight : proposal.weights) part.add_weights(weight);
    part.set_tail(static_cast<float>(proposal.tail));
  }
  for (const uint64_t hash : answer.logit_hashes) to.add_logit_hashes(hash);
  to.set_compute_ns(Nanoseconds(answer.compute_seconds));
  to.set_queue_ns(Nanoseconds(answer.queue_seconds));
  to.set_server_ns(Nanoseconds(answer.server_seconds));
  to.set_ahead(answer.ahead);
  to.set_resync(answer.resync);
  to.set_full_at(static_cast<uint32_t>(answer.full_at));
  return message;
}

}  // namespace assay
